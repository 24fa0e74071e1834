//! Domain types of all services: identifiers, names, versions, page tokens, states with their transition tables, and
//! the error type.
//!
//! Nothing here does I/O, is async or depends on a framework, so unit tests can call all of it.

#[macro_use]
mod text;

mod transition;

pub mod access;
pub mod api_key;
pub mod build;
pub mod deployment;
pub mod entity;
pub mod error;
pub mod explain;
pub mod feature;
pub mod id;
pub mod job;
pub mod masked;
pub mod name;
pub mod onboarding;
pub mod ownership;
pub mod page;
pub mod patch;
pub mod platform;
pub mod resource;
pub mod saga;
pub mod semver;
pub mod stack;
pub mod template;
pub mod time;

pub use self::semver::Version;
pub use access::{Grant, GrantScope, Role};
pub use api_key::ApiKey;
pub use error::{Error, Fault, Kind, MAX_FAULTS, Result};
pub use id::{
    ActivationId, AuditEntryId, BuildId, DnsRecordId, DomainId, EntityId, JobId, LifecycleEventId,
    PlatformId, ResourceId, SecretId, StackId,
};
pub use name::{HostName, HttpUrl, Name, ResourceName, SecretName, Slug};
pub use page::{Cursor, Limit, Page, Total};
pub use patch::Patch;
pub use time::UnixMillis;
#[doc(no_inline)]
pub use uuid::Uuid;
