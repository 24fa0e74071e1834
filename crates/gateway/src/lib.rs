//! The gateway: the one way in.
//!
//! A request passes, in this order: the limits on its head, the number of those under way (`load`), the share of its
//! address (`limits`), the credential (`auth`: the operator's key, `keys`, `oidc`), the caller's share, the table of
//! routes (`routes`), the limits on its body, the service's circuit breaker (`breaker`). Then it goes to its service
//! with a token that says who calls (`call`), and the answer comes back. The gateway's own paths are health (`health`)
//! and the API's documents (`docs`). Bodies are streamed both ways. Whatever goes wrong is told as the envelope.
//!
//! All of it follows settings that may change while it runs (`state`, `reload`).
//!
//! # Connections
//! Between the sockets and the HTTP server is a layer that follows the framing of requests (`wire`), so that what cannot
//! be read as HTTP is answered with the envelope too, and the limits hold for every request of a connection. A client
//! that closes its sending side still gets its answer if that begins within four seconds. After that it is taken to be
//! gone: its read is given up, while a write that has arrived whole is carried through. A chunked body to a service
//! begins to move when 8 KiB have come or all of it has, and the service's answer is read when all of it has gone.

mod auth;
mod breaker;
mod call;
mod connection;
mod cors;
mod docs;
mod headers;
mod health;
mod iam;
mod keys;
mod limits;
mod load;
mod oidc;
mod proxy;
mod reload;
mod replay;
mod routes;
mod server;
mod settings;
mod state;
mod stream;
mod wire;

pub use cors::CorsSettings;
pub use docs::document;
pub use limits::LimitSettings;
pub use oidc::{IssuerSettings, OidcSettings, RoleSettings};
pub use reload::Reload;
pub use server::{Gateway, NAME};
pub use settings::{DEFAULTS, GatewaySettings, Settings, Texts, Upstreams};
