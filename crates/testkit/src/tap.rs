//! A proxy between a service and its database that records the plan of every statement.
//!
//! The `auto_explain` module of PostgreSQL sends each plan as a notice to the client, including plans of foreign key
//! checks. So tests repeat no SQL of the code, and cover every statement.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

use crate::TestDb;

/// The plan of an executed statement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// SQL text of the statement.
    pub statement: String,
    /// Root node, as in `EXPLAIN (FORMAT JSON)`.
    pub root: Value,
}

/// The plans recorded so far.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<Mutex<Vec<Plan>>>);

impl Tap {
    /// Starts a proxy for the role of the running service. Returns the proxy and the URL to connect to.
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a proxy");
        let mut url = Url::parse(&db.app_url).expect("a proxy");
        let server = format!("{}:{}", url.host_str().expect("a proxy"), url.port().expect("a proxy"));
        url.set_port(Some(listener.local_addr().expect("a proxy").port())).expect("a proxy");
        let tap = Self::default();
        let proxy = tap.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("a proxy");
                tokio::spawn(proxy.clone().forward(client, server));
            }
        });
        (tap, url.into())
    }

    /// Returns the plans recorded since the last call.
    pub fn take(&self) -> Vec<Plan> {
        std::mem::take(&mut *self.0.lock().expect("the plans"))
    }

    async fn forward(self, client: TcpStream, server: TcpStream) {
        client.set_nodelay(true).expect("a proxy");
        server.set_nodelay(true).expect("a proxy");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let requests = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = to_server.shutdown().await;
        };
        let responses = async {
            let (mut buffer, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
            while let Ok(read @ 1..) = from_server.read(&mut chunk).await {
                buffer.extend_from_slice(&chunk[..read]);
                self.record_messages(&mut buffer);
                if to_client.write_all(&chunk[..read]).await.is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown().await;
        };
        tokio::join!(requests, responses);
    }

    /// Removes complete messages from the buffer. A message starts with its type byte and the length of the rest.
    fn record_messages(&self, buffer: &mut Vec<u8>) {
        while buffer.len() >= 5 {
            let length = u32::from_be_bytes(buffer[1..5].try_into().expect("a proxy")) as usize + 1;
            if buffer.len() < length {
                return;
            }
            let message: Vec<u8> = buffer.drain(..length).collect();
            if message[0] == b'N' {
                self.record_notice(&message[5..]);
            }
        }
    }

    /// Records the plan in a notice, if there is one. A field is a type byte and a text that ends with a zero byte.
    fn record_notice(&self, fields: &[u8]) {
        let text = fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
        let text = String::from_utf8_lossy(text.unwrap_or_default());
        let Some((_, plan)) = text.split_once("plan:\n") else { return };
        let mut plan: Value = serde_json::from_str(plan).expect("a proxy");
        let statement = plan["Query Text"].as_str().unwrap_or_default().to_owned();
        self.0.lock().expect("the plans").push(Plan { statement, root: plan["Plan"].take() });
    }
}

impl Plan {
    /// Returns all nodes, each after its parent.
    pub fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.root];
        let mut index = 0;
        while let Some(node) = nodes.get(index) {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            index += 1;
        }
        nodes
    }

    /// Returns the number of rows read from tables and indexes, including filtered rows. Requires
    /// `auto_explain.log_analyze`.
    pub fn rows_read(&self) -> u64 {
        let read = |node: &Value| {
            let number = |field: &str| node[field].as_f64().unwrap_or_default();
            let rows = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
            rows.iter().map(|field| number(field)).sum::<f64>() * number("Actual Loops")
        };
        let is_scan = |node: &&Value| node["Relation Name"].is_string() || node["Index Name"].is_string();
        self.nodes().into_iter().filter(is_scan).map(read).sum::<f64>().ceil() as u64
    }

    /// Returns the indexes in the plan.
    pub fn indexes(&self) -> Vec<&str> {
        self.nodes().into_iter().filter_map(|node| node["Index Name"].as_str()).collect()
    }
}
