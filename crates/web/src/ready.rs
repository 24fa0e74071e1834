//! Asking `/ready` of a process, as its supervisor does.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use identity::tls::{self, HTTP1, Tls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Asks `/ready` of the process that listens on `bind`.
///
/// # Errors
/// When it does not answer 200.
pub async fn healthcheck(bind: SocketAddr, tls: Option<Tls>) -> Result<()> {
    let host = if bind.ip().is_unspecified() { "127.0.0.1".to_owned() } else { bind.ip().to_string() };
    ask_ready(&host, bind.port(), tls.map(Tls::of_any_name).as_ref()).await
}

/// Asks `/ready` of the process at `host` and `port`, for at most five seconds.
///
/// # Errors
/// When it does not answer 200.
pub async fn ask_ready(host: &str, port: u16, tls: Option<&Tls>) -> Result<()> {
    let ask = async {
        match tls {
            None => ask_on(tls::open(host, port).await?).await,
            Some(tls) => ask_on(tls.connect(host, port, HTTP1).await?).await,
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), ask).await.context("no answer in time")??;
    let line = answer.lines().next().unwrap_or_default();
    anyhow::ensure!(line.contains(" 200 "), "not ready: {line}");
    Ok(())
}

async fn ask_on(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
