//! Who calls: callers, what they may see, the tokens that processes sign for each other, what travels with a request,
//! and TLS between processes.

mod caller;
mod context;
mod done;
pub mod etag;
mod keys;
mod layers;
mod sight;
pub mod tls;
mod token;

pub use caller::{ActorType, Caller, PlatformScope, Scope};
pub use context::{Ctx, Idempotency, WriteCtx};
pub use done::Done;
pub use keys::{IdentitySettings, KeyPair};
#[cfg(debug_assertions)]
pub use layers::leave_tenancy_to_postgres;
pub use layers::scope_is_enforced;
pub use sight::Sight;
pub use token::{LIFETIME, Signer, Verifier};
