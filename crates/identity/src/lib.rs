//! Callers, their scopes, the tokens that processes sign for each other, request contexts, and TLS between processes.

mod caller;
mod context;
mod done;
pub mod etag;
mod keys;
mod layers;
mod rls_context;
pub mod tls;
mod token;

pub use caller::{ActorType, Caller, PlatformScope, Scope};
pub use context::{Ctx, Idempotency, WriteCtx};
pub use done::Done;
pub use keys::{IdentitySettings, KeyPair};
#[cfg(debug_assertions)]
pub use layers::disable_scope_filter;
pub use layers::scope_filter_enabled;
pub use rls_context::RlsContext;
pub use token::{LIFETIME, Signer, Verifier};
