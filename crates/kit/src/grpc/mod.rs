//! gRPC between services: a server that lets in only listed callers, and peers that are called with a deadline.

mod access;
mod peer;
mod server;
mod signed;

pub use prost::Message;

pub use access::{Access, read_ctx, write_ctx};
pub use peer::{Peer, PeerCall, Peers};
pub use server::{GrpcSettings, serve};
pub use signed::SignedChannel;
