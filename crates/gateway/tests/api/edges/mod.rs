//! Raw sockets: the status that each odd request gets, and whether its connection goes on.

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

/// What one write of a client is answered with.
struct Edge {
    name: &'static str,
    sends: Vec<u8>,
    /// The method and the status of each answer.
    answers: Vec<(&'static str, u16)>,
    goes_on: bool,
}

/// One answer, as the bytes on the wire say.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Reads the answer to a request with `method`; none if the connection ends before it.
async fn answer(stream: &mut TcpStream, method: &str) -> Option<Answer> {
    let head = timeout(raw::LONG, raw::head(stream)).await.expect("an answer or the end");
    let status = head.split(' ').nth(1)?.parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    if method == "HEAD" || matches!(status, 100 | 204 | 304) {
        return Some(answer);
    }
    let length = answer.header("content-length").expect("every answer here has a length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    answer.body = String::from_utf8(body).unwrap();
    Some(answer)
}

async fn connect(at: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

/// Whether the connection takes another request.
async fn goes_on(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    answer(stream, "GET").await.is_some_and(|answer| answer.status == 200)
}

/// Whether the connection ends without another byte.
async fn ends(stream: &mut TcpStream, within: Duration) -> bool {
    let mut rest = Vec::new();
    let read = timeout(within, stream.read_to_end(&mut rest)).await;
    assert_eq!(String::from_utf8_lossy(&rest), "", "nothing more is sent");
    read.is_ok()
}
