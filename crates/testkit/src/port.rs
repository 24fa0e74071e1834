//! Ports that are known before a server listens on them.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A local port that no other program can get while this value lives.
///
/// The socket is bound and does not listen, so a connection to it is refused. A server that sets `SO_REUSEADDR`, as
/// the standard library and tokio do, can still bind the port and listen.
#[derive(Debug)]
pub struct ReservedPort {
    /// The address, on the loopback interface.
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    /// Reserves a free port.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = socket.local_addr().expect("an address");
        Self { address, _socket: socket }
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}
