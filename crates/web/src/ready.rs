//! A client of `/ready`, for health checks.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use identity::tls::{self, HTTP1, Tls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Calls `/ready` of the process that listens on `bind`.
///
/// # Errors
/// When the response is not 200.
pub async fn healthcheck(bind: SocketAddr, tls: Option<Tls>) -> Result<()> {
    let host = if bind.ip().is_unspecified() { "127.0.0.1".to_owned() } else { bind.ip().to_string() };
    check_ready(&host, bind.port(), tls.map(Tls::accept_any_name).as_ref()).await
}

/// Calls `/ready` of the process at `host` and `port`, for at most five seconds.
///
/// # Errors
/// When the response is not 200.
pub async fn check_ready(host: &str, port: u16, tls: Option<&Tls>) -> Result<()> {
    let request = async {
        match tls {
            None => request_on(tls::connect_plaintext(host, port).await?).await,
            Some(tls) => request_on(tls.connect(host, port, HTTP1).await?).await,
        }
    };
    let response =
        tokio::time::timeout(Duration::from_secs(5), request).await.context("did not respond in time")??;
    let line = response.lines().next().unwrap_or_default();
    anyhow::ensure!(line.contains(" 200 "), "not ready: {line}");
    Ok(())
}

async fn request_on(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
