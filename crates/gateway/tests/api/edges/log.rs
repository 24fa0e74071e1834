//! Log levels of clients' mistakes.

use std::process::Stdio;

use testkit::ReservedPort;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use super::{connect, table::table};
use crate::{
    raw,
    world::{KEY, eventually, keys},
};

#[tokio::test]
async fn client_mistakes_are_not_logged_as_errors() {
    let (keys, held) = (keys(), ReservedPort::new());
    let at = held.address;
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .arg("serve")
        .env("NNO__HTTP__BIND", at.to_string())
        .env("NNO__IDENTITY__KEYS_DIR", keys.path())
        .env("NNO__SERVICE__OPERATOR_KEY", KEY)
        .env("NNO__TELEMETRY__LOG", "debug")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stderr = gateway.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = String::new();
        stderr.read_to_string(&mut log).await.unwrap();
        log
    });
    eventually("the gateway listens", || std::net::TcpStream::connect(at).is_ok()).await;
    for edge in table() {
        let mut stream = connect(at, &edge.request).await;
        let _ = raw::is_closed_within(&mut stream, std::time::Duration::from_millis(100)).await;
    }
    gateway.start_kill().unwrap();
    gateway.wait().await.unwrap();
    let log = timeout(raw::LONG, log).await.unwrap().unwrap();
    assert!(log.lines().count() > 50, "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
