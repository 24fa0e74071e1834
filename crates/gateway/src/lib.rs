//! The gateway: the only entrance to the services.
//!
//! A request passes, in this order: the limits on its head (`request_head`), the limit on requests in progress (`load`),
//! the rate limit of its address (`limits`), authentication (`admission`, by the methods in `auth`, `keys` and `oidc`),
//! the rate limit of its caller, the table of routes (`routes`), the limits on its body, and the circuit breaker of the
//! service (`breaker`). Then it goes to the service with a token that identifies the caller (`forward`, `call`), and the
//! response comes back. `proxy` holds this sequence. The gateway serves health (`health`) and the API's documents
//! (`docs`) itself. Bodies are streamed in both directions. Every error is sent as the error envelope.
//!
//! Each component gets what it needs at construction. `assembly` alone knows the settings: it builds the components at
//! start, and at each reload (`reload`) those that follow from `[service]` (`policy`). Modules import downwards only.
//!
//! # Connections
//! Between the sockets and the HTTP server is a layer that follows the framing of requests (`wire`), so that what cannot
//! be read as HTTP is answered with the envelope too, and the limits hold for every request of a connection. A client
//! that closes its sending side still gets its answer if that begins within four seconds. After that it is taken to be
//! gone: its read is given up, while a write that has arrived whole is carried through. A chunked body to a service
//! begins to move when 8 KiB have come or all of it has, and the service's answer is read when all of it has gone.

mod admission;
mod assembly;
mod auth;
mod breaker;
mod call;
mod connection;
mod cors;
mod docs;
mod forward;
mod headers;
mod health;
mod iam;
mod keys;
mod limits;
mod load;
mod oidc;
mod policy;
mod proxy;
mod reload;
mod replay;
mod request_head;
mod routes;
mod security_headers;
mod server;
mod settings;
mod stream;
mod texts;
mod upstream;
mod wire;

pub use cors::CorsSettings;
pub use docs::document;
pub use limits::LimitSettings;
pub use oidc::{IssuerSettings, OidcSettings, RoleSettings};
pub use reload::Reload;
pub use server::Gateway;
pub use settings::{DEFAULTS, GatewaySettings, Settings};
pub use texts::Texts;
pub use upstream::Upstreams;

/// The name of the process: of its key, and of the issuer of its tokens.
pub const NAME: &str = "gateway";
