//! `nno` before an API that is behind something that ends TLS.

use std::{fs, net::SocketAddr, sync::Arc};

use testkit::Authority;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{person::Person, system::Place};

/// Ends TLS before what listens at `behind`; answers its port.
async fn front(authority: &Authority, behind: SocketAddr) -> u16 {
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
async fn a_server_must_show_a_certificate_that_is_believed() {
    let place = Place::new();
    let up = place.up().await;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.crt");
    fs::write(&file, &authority.pem).unwrap();
    let behind: SocketAddr = up.url.strip_prefix("http://").unwrap().parse().unwrap();
    let port = front(&authority, behind).await;
    let person = Person::new().with("NNO_KEY", &up.operator_key());
    let url = format!("https://localhost:{port}");

    let doubtful = person.nno(&["whoami", "--url", &url]);
    assert_eq!(doubtful.code, 3, "{doubtful:?}");
    let person = person.with("SSL_CERT_FILE", file.to_str().unwrap());
    assert!(person.told(&["whoami", "--url", &url]).starts_with("caller    operator\n"));
    let elsewhere = person.nno(&["whoami", "--url", &format!("https://127.0.0.1:{port}")]);
    assert_eq!(elsewhere.code, 3, "{elsewhere:?}");
    up.stop().await;
}
