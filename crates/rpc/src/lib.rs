//! gRPC between services.
//!
//! The build script generates the messages from `proto/`. Each request type names its method (see [`Method`]). A
//! [`Client`] calls a service; every call has a deadline, an identity, a request id and a trace. [`Methods`] serves the
//! methods of a process.

mod access;
mod client;
mod enums;
pub mod explain;
mod method;
mod methods;
mod peer;
mod server;
mod signed;
pub mod status;
pub mod watch;

use domain::{
    Error, GrantScope, Result,
    explain::{Explanation, Link},
};
pub use prost::Message;
use uuid::Uuid;

pub use access::{Access, read_ctx, write_ctx};
pub use client::Client;
pub use enums::{ClosedSet, enum_number, parse_enum, parse_response_enum};
pub use method::{Iam, Method, Onboarding, Provisioning, Registry, Service, StackRegistry, StreamMethod};
pub use methods::{Callers, Handler, Methods, MethodsBuilder};
pub use peer::{Peer, PeerCall, Peers};
pub use server::{GrpcSettings, serve};
pub use signed::SignedChannel;

/// Parses a text field of a message as a domain type.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn parse<T: std::str::FromStr<Err = String>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|reason| Error::invalid(field, reason))
}

/// Parses an optional text field of a message as a domain type.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn parse_optional<T: std::str::FromStr<Err = String>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>> {
    text.map(|text| parse(field, text)).transpose()
}

/// Parses the id in a field of a message.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn parse_uuid(field: &str, text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|error| Error::invalid(field, "must be a UUID").context(error))
}

/// Returns the value of a field that must be present.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, "is required"))
}

/// Returns the reflection service, which describes the methods to tools such as `buf curl`.
///
/// # Errors
/// If the descriptors cannot be decoded.
pub fn reflection() -> std::result::Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    tonic_reflection::server::Error,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
}

/// All files of `proto/` as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! generated {
    ($name:ident, $package:literal, $doc:literal) => {
        #[doc = $doc]
        #[expect(clippy::allow_attributes_without_reason, unused_qualifications, reason = "generated")]
        pub mod $name {
            tonic::include_proto!($package);
        }
    };
}

/// Messages that several services use.
pub mod common {
    tonic::include_proto!("nno.common.v1");
}

generated!(iam, "nno.iam.v1", "Messages of IAM.");
generated!(onboarding, "nno.onboarding.v1", "Messages of onboarding.");
generated!(registry, "nno.registry.v1", "Messages of the registry.");
generated!(stack_registry, "nno.stack_registry.v1", "Messages of the stack registry.");
generated!(provisioning, "nno.provisioning.v1", "Messages of provisioning.");

impl From<domain::Grant> for iam::Grant {
    fn from(grant: domain::Grant) -> Self {
        Self {
            role: enum_number(grant.role),
            platform_id: grant.scope.platform().map(ToString::to_string),
            entity_id: grant.scope.entity().map(ToString::to_string),
        }
    }
}

impl TryFrom<iam::Grant> for domain::Grant {
    type Error = Error;

    fn try_from(message: iam::Grant) -> Result<Self> {
        let platform = parse_optional("platform_id", message.platform_id.as_deref())?;
        let entity = parse_optional("entity_id", message.entity_id.as_deref())?;
        Self::new(parse_enum("role", message.role)?, GrantScope::new(platform, entity)?)
    }
}

impl From<common::Explanation> for Explanation {
    fn from(message: common::Explanation) -> Self {
        let link =
            |common::ExplainedThing { thing, id, status, says }| Link { object: thing, id, status, says };
        let chain = message.chain.into_iter().map(link).collect();
        Self { ready: message.ready, because: message.because, chain }
    }
}

impl From<Explanation> for common::Explanation {
    fn from(explanation: Explanation) -> Self {
        let link =
            |Link { object, id, status, says }| common::ExplainedThing { thing: object, id, status, says };
        let chain = explanation.chain.into_iter().map(link).collect();
        Self { ready: explanation.ready, because: explanation.because, chain }
    }
}
