//! `nno` as a client of an API behind a TLS proxy.

use std::{fs, net::SocketAddr, sync::Arc};

use testkit::Authority;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{system::TestSystem, user::User};

/// Starts a TLS proxy in front of `behind` and returns its port.
async fn start_proxy(authority: &Authority, behind: SocketAddr) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(authority.server("localhost")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn server_certificate_must_be_trusted() {
    let system = TestSystem::new();
    let up = system.start().await;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.crt");
    fs::write(&file, &authority.pem).unwrap();
    let behind: SocketAddr = up.url.strip_prefix("http://").unwrap().parse().unwrap();
    let port = start_proxy(&authority, behind).await;
    let user = User::new().with("NNO_KEY", &up.operator_key());
    let url = format!("https://localhost:{port}");

    let untrusted = user.nno(&["whoami", "--url", &url]);
    assert_eq!(untrusted.code, 3, "{untrusted:?}");
    let user = user.with("SSL_CERT_FILE", file.to_str().unwrap());
    assert!(user.stdout_of(&["whoami", "--url", &url]).starts_with("caller    operator\n"));
    let other_host = user.nno(&["whoami", "--url", &format!("https://127.0.0.1:{port}")]);
    assert_eq!(other_host.code, 3, "{other_host:?}");
    up.stop().await;
}
