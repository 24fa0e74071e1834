//! A tap on the line between a service and its database: the plan of every statement, as the server really made it.
//!
//! The server's own `auto_explain` tells each plan as a notice to whoever sent the statement, those of foreign keys
//! among them. Nothing is copied out of the code, and no statement can be forgotten.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

use crate::TestDb;

/// One statement that was run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its text.
    pub statement: String,
    /// What feeds the answer, as the server tells it.
    pub root: Value,
}

/// What was heard so far.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Mutex<Vec<Plan>>>);

impl Tap {
    /// Taps what the serving role sends; answers also the URL that leads through the tap.
    pub async fn on(db: &TestDb) -> (Self, String) {
        for (setting, value) in [
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("auto_explain.log_format", "json"),
            ("auto_explain.log_level", "notice"),
        ] {
            db.set(setting, value).await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a tap");
        let mut url = Url::parse(&db.app_url).expect("a tap");
        let server = format!("{}:{}", url.host_str().expect("a tap"), url.port().expect("a tap"));
        url.set_port(Some(listener.local_addr().expect("a tap").port())).expect("a tap");
        let tap = Self::default();
        let heard = tap.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("a tap");
                tokio::spawn(heard.clone().pass(client, server));
            }
        });
        (tap, url.into())
    }

    /// What was heard since it was last asked.
    pub fn take(&self) -> Vec<Plan> {
        std::mem::take(&mut *self.0.lock().expect("the tap"))
    }

    async fn pass(self, client: TcpStream, server: TcpStream) {
        client.set_nodelay(true).expect("a tap");
        server.set_nodelay(true).expect("a tap");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let forth = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = to_server.shutdown().await;
        };
        let back = async {
            let (mut heard, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
            while let Ok(read @ 1..) = from_server.read(&mut chunk).await {
                heard.extend_from_slice(&chunk[..read]);
                self.hear(&mut heard);
                if to_client.write_all(&chunk[..read]).await.is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown().await;
        };
        tokio::join!(forth, back);
    }

    /// Takes whole messages off: a byte that says what it is, and a length that counts itself.
    fn hear(&self, heard: &mut Vec<u8>) {
        while heard.len() >= 5 {
            let length = u32::from_be_bytes(heard[1..5].try_into().expect("a tap")) as usize + 1;
            if heard.len() < length {
                return;
            }
            let message: Vec<u8> = heard.drain(..length).collect();
            if message[0] == b'N' {
                self.notice(&message[5..]);
            }
        }
    }

    /// Fields of a notice: a byte that says which, and a text that ends with a zero.
    fn notice(&self, fields: &[u8]) {
        let text = fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
        let text = String::from_utf8_lossy(text.unwrap_or_default());
        let Some((_, plan)) = text.split_once("plan:\n") else { return };
        let mut told: Value = serde_json::from_str(plan).expect("a tap");
        let statement = told["Query Text"].as_str().unwrap_or_default().to_owned();
        self.0.lock().expect("the tap").push(Plan { statement, root: told["Plan"].take() });
    }
}

impl Plan {
    /// The nodes, each after the one that it feeds.
    pub fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.root];
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            at += 1;
        }
        nodes
    }

    /// How many rows were read from tables and indexes, those that were passed over among them. Told only where
    /// `auto_explain.log_analyze` is on.
    pub fn rows_read(&self) -> u64 {
        let read = |node: &Value| {
            let number = |field: &str| node[field].as_f64().unwrap_or_default();
            let rows = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
            rows.iter().map(|field| number(field)).sum::<f64>() * number("Actual Loops")
        };
        let stored = |node: &&Value| node["Relation Name"].is_string() || node["Index Name"].is_string();
        self.nodes().into_iter().filter(stored).map(read).sum::<f64>().ceil() as u64
    }

    /// The indexes that it goes through.
    pub fn indexes(&self) -> Vec<&str> {
        self.nodes().into_iter().filter_map(|node| node["Index Name"].as_str()).collect()
    }
}
