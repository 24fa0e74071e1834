//! Unusual and malformed requests over raw sockets: their status, and the state of the connection afterwards.

mod log;
mod table;
mod time;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::raw;

/// The expected responses to the bytes of a client.
struct EdgeCase {
    name: &'static str,
    request: Vec<u8>,
    /// The method and status of each response.
    responses: Vec<(&'static str, u16)>,
    /// True if the connection accepts another request.
    stays_open: bool,
}

/// A response, parsed from the bytes on the wire.
#[derive(Debug)]
struct RawResponse {
    status: u16,
    head: String,
    body: String,
}

impl RawResponse {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Reads the response to a request with `method`; `None` if the connection ends before it.
async fn response(stream: &mut TcpStream, method: &str) -> Option<RawResponse> {
    let head = timeout(raw::LONG, raw::head(stream)).await.expect("a response or the end of the stream");
    let status = head.split(' ').nth(1)?.parse().unwrap();
    let mut response = RawResponse { status, head, body: String::new() };
    if method == "HEAD" || matches!(status, 100 | 204 | 304) {
        return Some(response);
    }
    let length =
        response.header("content-length").expect("every response here has a length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    response.body = String::from_utf8(body).unwrap();
    Some(response)
}

async fn connect(at: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

/// Returns true if the connection accepts another request.
async fn stays_open(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    response(stream, "GET").await.is_some_and(|response| response.status == 200)
}

/// Returns true if the connection ends in time without another byte.
async fn ends(stream: &mut TcpStream, within: Duration) -> bool {
    let mut rest = Vec::new();
    let read = timeout(within, stream.read_to_end(&mut rest)).await;
    assert_eq!(String::from_utf8_lossy(&rest), "", "nothing more is sent");
    read.is_ok()
}
