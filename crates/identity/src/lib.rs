//! Who calls: callers, what they may see, the tokens that processes sign for each other, what travels with a request,
//! and TLS between processes.

mod caller;
mod context;
mod done;
pub mod etag;
mod keys;
mod sight;
pub mod tls;
mod token;

pub use caller::{ActorType, Caller, PlatformScope, Scope};
pub use context::{Ctx, Idempotency, WriteCtx};
pub use done::Done;
pub use keys::{IdentitySettings, KeyPair};
pub use sight::Sight;
pub use token::{LIFETIME, Signer, Verifier};

/// Whether this is the build in which what statements are given as the caller's scope leaves nothing out, so that
/// Postgres alone keeps callers apart: the feature `first-wall-down`, which is for one kind of test.
pub const FIRST_WALL_DOWN: bool = cfg!(feature = "first-wall-down");
