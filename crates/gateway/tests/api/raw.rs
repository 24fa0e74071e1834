//! Both ends of a connection by hand, for what a proper client or server would not do.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::world::KEY;

/// Longer than anything here takes that ends at all.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// A service that does with each connection what it is told to.
pub(crate) async fn service<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    at
}

/// A service that answers each request head with the same bytes, and says goodbye if `closes`.
pub(crate) async fn fixed_response(response: &'static str, closes: bool) -> SocketAddr {
    service(move |mut stream| async move {
        while !head(&mut stream).await.is_empty() {
            stream.write_all(answer.as_bytes()).await.unwrap();
            if closes {
                return;
            }
        }
    })
    .await
}

/// Reads a head; empty when the peer has gone.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Whether the peer closes, whatever else it sends.
pub(crate) async fn is_closed_within(stream: &mut TcpStream, limit: Duration) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    let drain = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    timeout(limit, drain).await.is_ok()
}

/// Sends bytes as they are and reads the answer until the peer closes.
pub(crate) async fn send(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    answer(&mut stream).await
}

/// Reads until the peer closes, orderly or not.
pub(crate) async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async { while stream.read_buf(&mut answer).await.is_ok_and(|n| n > 0) {} };
    timeout(LONG, read).await.expect("the connection is closed");
    String::from_utf8(answer).unwrap()
}

/// The operator's request with a method, a path and more header lines, each with its line end.
pub(crate) fn request(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n")
}
