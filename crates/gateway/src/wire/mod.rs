//! The client side of the HTTP server, with the connection handling that actix-http lacks.
//!
//! Each accepted stream is wrapped in a [`Connection`], which follows the framing of its requests. The server sees one
//! request at a time, with a well-formed head and body. Therefore a client's fault never reaches the server's own error
//! handling, which closes the connection without a response and logs at ERROR:
//! - A head is read completely before the server sees it, within its own time limit, for every request of a connection.
//! - A malformed head or chunk, a head that is too large or too late, and an unknown expectation get an error response
//!   (`rejection`).
//! - The next request waits until the previous response has been written, so pipelining does not change a response.
//! - `100 Continue` is sent when the body is about to be read.
//! - A client that closes its sending side is considered gone only after a timeout.
//! - Unread data is read and discarded before the connection is closed, so that the response is not lost.

mod chunks;
mod connection;
mod exchange;
mod head;
mod incoming;
mod rejection;

pub(crate) use self::{
    connection::{Connection, Timeouts},
    exchange::{Exchange, track},
};
