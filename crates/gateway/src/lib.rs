//! The gateway: the only public entry point of the system.
//!
//! A request passes, in this order: the limits on its head (`request_head`), the limit on requests in progress
//! (`load`), the rate limit of its address (`limits`), authentication (`admission`, by the methods in `auth`, `keys`
//! and `oidc`), the rate limit of its caller, the table of routes (`routes`), the limits on its body, and the circuit
//! breaker of the service (`breaker`). Then it goes to the service with a token that identifies the caller (`forward`,
//! `call`), and the response comes back. `proxy` implements this sequence. The gateway serves health (`health`) and the
//! API's documents (`docs`) itself. Bodies are streamed in both directions. Every error is sent as the error envelope.
//!
//! Each component gets its dependencies at construction. Only `assembly` reads the settings: it builds all components
//! at start, and at each reload (`reload`) those that follow from `[service]` (`policy`). Modules import downwards
//! only.
//!
//! # Connections
//! Between the sockets and the HTTP server is a layer that follows the framing of requests (`wire`). With it, malformed
//! HTTP also gets the envelope, and the limits apply to every request of a connection. A client that closes its sending
//! side still gets its response if the response begins within four seconds. After that, the gateway considers the
//! client gone: it cancels a read and completes a write that has arrived completely. The gateway forwards a chunked body
//! once 8 KiB or the whole body have arrived, and reads the service's response once the whole body is sent.

mod admission;
mod assembly;
mod auth;
mod breaker;
mod call;
mod compress;
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
mod string_list;
mod upstream;
mod wire;

pub use cors::CorsSettings;
pub use docs::document;
pub use limits::LimitSettings;
pub use oidc::{IssuerSettings, OidcSettings, RoleSettings};
pub use reload::Reload;
pub use server::Gateway;
pub use settings::{DEFAULTS, GatewaySettings, Settings};
pub use string_list::StringList;
pub use upstream::Upstreams;

/// The name of the process, of its key, and of the issuer of its tokens.
pub const NAME: &str = "gateway";
