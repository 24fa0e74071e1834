//! The gateway: the one way in.
//!
//! A request passes, in this order: the number of those under way (`load`), the share of its address (`limits`), the
//! limits on its head, the credential (`auth`: the operator's key, `keys`, `oidc`), the caller's share, the table of
//! routes (`routes`), the limits on its body, the service's circuit breaker (`breaker`). Then it goes to its service
//! with a token that says who calls (`call`), and the answer comes back. The gateway's own paths are health (`health`)
//! and the API's documents (`docs`). Bodies are streamed both ways. Whatever goes wrong is told as the envelope.
//!
//! All of it follows settings that may change while it runs (`state`, `reload`).
//!
//! # What the HTTP server does by itself
//! These answers are given before a request is one, so they have no body, no request id and no security headers:
//! - a head that cannot be read, or a URI above 64 KiB: 400;
//! - more than 96 headers, or a head above 128 KiB: 431. The limits of the settings are lower and told properly;
//! - a head that does not arrive within `http.head_timeout`: 408. That holds for the first request of a connection.
//!   A later one that has begun and does not go on is not timed at all: what bounds such connections is their number;
//! - a chunked body that cannot be read: no answer, the connection ends.
//!
//! `Expect: 100-continue` is answered before the request is looked at. A client that closes its sending side is taken
//! to be gone: its read is given up, while a write that has arrived whole is carried through. A chunked body to a
//! service begins to move when 8 KiB have come or all of it has, and the service's answer is read when all of it has
//! gone.

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

pub use cors::CorsSettings;
pub use docs::document;
pub use limits::LimitSettings;
pub use oidc::{IssuerSettings, OidcSettings, RoleSettings};
pub use reload::Reload;
pub use server::{Gateway, NAME};
pub use settings::{DEFAULTS, GatewaySettings, Settings, Texts, Upstreams};
