//! What is said between services.
//!
//! The messages are generated from `proto/` at build, and each request names its method (see [`Method`]). A [`Client`]
//! calls a service, and every call has a deadline, an identity, a request id and a trace. [`Methods`] are what a process
//! serves.

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
pub use enums::{ClosedSet, enum_number, parse_answered_enum, parse_enum};
pub use method::{Iam, Method, Onboarding, Provisioning, Registry, Service, StackRegistry, StreamMethod};
pub use methods::{Callers, Declared, Handler, Methods};
pub use peer::{Peer, PeerCall, Peers};
pub use server::{GrpcSettings, serve};
pub use signed::SignedChannel;

/// Reads a text of a message as the domain type that it must be.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn parse<T: std::str::FromStr<Err = String>>(field: &str, text: &str) -> Result<T> {
    text.parse().map_err(|why| Error::invalid(field, why))
}

/// The same for a field that may be absent.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn parse_optional<T: std::str::FromStr<Err = String>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>> {
    text.map(|text| parse(field, text)).transpose()
}

/// Reads an id of a message.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn parse_uuid(field: &str, text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|error| Error::invalid(field, "must be a UUID").context(error))
}

/// A part of a message that must be there.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub fn required<T>(field: &str, part: Option<T>) -> Result<T> {
    part.ok_or_else(|| Error::invalid(field, "is required"))
}

/// Describes the services to tools such as `buf curl`.
///
/// # Errors
/// When the descriptors cannot be read.
pub fn reflection() -> std::result::Result<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    tonic_reflection::server::Error,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
}

/// Everything in `proto/`, as an encoded `FileDescriptorSet`.
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

/// What all services say to each other.
pub mod common {
    tonic::include_proto!("nno.common.v1");
}

generated!(iam, "nno.iam.v1", "Messages of iam.");
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

    fn try_from(told: iam::Grant) -> Result<Self> {
        let platform = parse_optional("platform_id", told.platform_id.as_deref())?;
        let entity = parse_optional("entity_id", told.entity_id.as_deref())?;
        Self::new(parse_enum("role", told.role)?, GrantScope::new(platform, entity)?)
    }
}

impl From<common::Explanation> for Explanation {
    fn from(told: common::Explanation) -> Self {
        let link =
            |common::ExplainedThing { thing, id, status, says }| Link { object: thing, id, status, says };
        let chain = told.chain.into_iter().map(link).collect();
        Self { ready: told.ready, because: told.because, chain }
    }
}

impl From<Explanation> for common::Explanation {
    fn from(told: Explanation) -> Self {
        let object =
            |Link { object, id, status, says }| common::ExplainedThing { thing: object, id, status, says };
        let chain = told.chain.into_iter().map(object).collect();
        Self { ready: told.ready, because: told.because, chain }
    }
}
