//! Raw clients and services, for behaviour that HTTP libraries do not allow.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::world::KEY;

/// Longer than any test takes if it succeeds.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// Starts a service that handles each connection with `handle`.
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

/// Starts a service that sends the same bytes for each request head, and then closes the connection if `closes`.
pub(crate) async fn fixed_response(response: &'static str, closes: bool) -> SocketAddr {
    service(move |mut stream| async move {
        while !head(&mut stream).await.is_empty() {
            stream.write_all(response.as_bytes()).await.unwrap();
            if closes {
                return;
            }
        }
    })
    .await
}

/// Reads a head; empty if the peer has closed the connection.
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

/// Returns true if the peer closes the connection in time, regardless of what it sends.
pub(crate) async fn is_closed_within(stream: &mut TcpStream, limit: Duration) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    let drain = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    timeout(limit, drain).await.is_ok()
}

/// Sends bytes and reads the response until the peer closes the connection.
pub(crate) async fn send(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    response(&mut stream).await
}

/// Reads until the peer closes the connection, orderly or not.
pub(crate) async fn response(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    let read = async { while stream.read_buf(&mut response).await.is_ok_and(|n| n > 0) {} };
    timeout(LONG, read).await.expect("the connection is closed");
    String::from_utf8(response).unwrap()
}

/// Returns a request of the operator with a method, a path and additional header lines, each with its line end.
pub(crate) fn request(method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n")
}
