//! Ports that are known before a server listens on them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::TcpSocket;

/// A port that no other program can get while this value exists.
///
/// The socket is bound and does not listen. Linux lets the intended server bind it too, because both sockets
/// have `SO_REUSEADDR` (the standard library and tokio set it on every listener) and only one listens. A listener of
/// another program would have made [`ReservedPort::at`] fail, and the kernel does not pick the port for anyone else.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    /// Reserves a free port on 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) fn on_loopback() -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Reserves this address; port 0 picks a free port.
    ///
    /// # Errors
    /// When another program uses the port, or the system denies it to this user.
    pub(crate) fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn reserved_port_can_be_listened_on_and_is_not_picked_for_others() {
        let reserved = ReservedPort::on_loopback().unwrap();
        let others: Vec<_> = (0..500).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let ports: HashSet<_> = others.iter().map(|other| other.local_addr().unwrap().port()).collect();
        assert!(!ports.contains(&reserved.address.port()));
        let first = TcpListener::bind(reserved.address).unwrap();
        drop(std::net::TcpStream::connect(reserved.address).unwrap());
        drop(first);
        let second = tokio::net::TcpListener::bind(reserved.address).await.unwrap();
        assert_eq!(second.local_addr().unwrap(), reserved.address);
    }

    #[tokio::test]
    async fn port_with_a_listener_is_rejected() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = ReservedPort::at(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
