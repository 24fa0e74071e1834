//! The client's side of the HTTP server: what actix-http leaves to chance about a connection.
//!
//! Each accepted stream is wrapped in a [`Connection`], which follows the framing of the requests on it. The server sees
//! one request at a time, with a head that it can read and a body whose framing holds. So all answers are ours, and a
//! client's faults never reach the server's own error handling, which closes without an answer and logs at ERROR:
//! - a head is read whole before any of it is handed over, within its own deadline, on every request of a connection;
//! - a head or chunk that cannot be read, a head that is too large or too late, and an expectation that cannot be met
//!   have their answer (`answer`);
//! - the next request waits until the answer before it is gone: pipelined requests do not change how it is written;
//! - `100 Continue` is sent when the body is about to be read;
//! - a client that closes its sending side is no client that is gone, until it has waited for long;
//! - what is left unread is read and thrown away before the connection is closed, so that the answer is not lost.

mod answer;
mod chunks;
mod connection;
mod exchange;
mod head;
mod incoming;

pub(crate) use self::{
    connection::{Connection, Timeouts},
    exchange::{Exchange, follow},
};
