//! Ports that are known before anything listens on them.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of this machine that no other program gets while this lives.
///
/// The socket is bound and does not listen, so a connection to it is refused. A server that sets `SO_REUSEADDR`, as
/// the standard library and tokio do, can still bind the port and listen.
#[derive(Debug)]
pub struct HeldPort {
    /// The address, on the loopback interface.
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl HeldPort {
    /// Holds a free port.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an address that can be shared");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("an address");
        Self { address, _socket: socket }
    }
}

impl Default for HeldPort {
    fn default() -> Self {
        Self::new()
    }
}
