//! A TCP proxy between an engine and its database, which can drop traffic silently.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use url::Url;

/// Forwards connections to the database.
pub(crate) struct Proxy {
    /// The URL of the database through the proxy.
    pub(crate) url: String,
    swallowed: watch::Sender<()>,
}

impl Proxy {
    pub(crate) async fn to(url: &str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let database = (url.host_str().unwrap().to_owned(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let swallowed = watch::Sender::new(());
        let signal = swallowed.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (database, mut swallowed) = (database.clone(), signal.subscribe());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(database).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Both connections stay open, and no more data passes.
                        _ = swallowed.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { url: url.into(), swallowed }
    }

    /// Stops forwarding on all existing connections; new ones work.
    pub(crate) fn swallow(&self) {
        self.swallowed.send_replace(());
    }
}
