//! Ports that are known before anyone listens on them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::TcpSocket;

/// A port that no other program is given while this is held.
///
/// The socket is bound and does not listen. Linux lets the server that is to have the port bind it too, because both
/// have `SO_REUSEADDR` (the standard library and tokio set it on every listener) and only one listens. A listener of
/// another program would have made [`Reserved::at`] fail, and the kernel picks the port for nobody else.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    /// A free port for services of this process.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn on_loopback() -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// This address; port 0 takes any free one.
    ///
    /// # Errors
    /// When another program has it, or we may not.
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
    async fn a_reserved_port_can_be_listened_on_and_is_given_to_nobody_else() {
        let reserved = Reserved::on_loopback().unwrap();
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
    async fn a_port_with_a_listener_is_refused() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = Reserved::at(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
