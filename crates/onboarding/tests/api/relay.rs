//! A TCP relay between two services, which can be cut.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Relay {
    /// Starts a relay to this address, which need not be in use yet.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), open: watch::Sender::new(true) };
        let open = relay.open.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target, open.subscribe()));
            }
        });
        relay
    }

    /// Cuts all connections, and every new one until [`Relay::restore`].
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn restore(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    let passed = async {
        let mut server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        _ = passed => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
