//! Detection of outgoing connections.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// A listener that no process of the system has a reason to connect to.
pub(crate) struct Trap {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Trap {
    /// Listens on every address of this machine, IPv4 and IPv6.
    pub(crate) async fn set() -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let first = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        // The machine may have no IPv6.
        listeners.extend(TcpListener::bind(("::1", port)).await.ok());
        let listen = |listener: TcpListener| {
            let connections = Arc::clone(&connections);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    connections.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let tasks = listeners.into_iter().map(listen).collect();
        Self { port, connections, tasks }
    }

    /// Panics after a connection. Then connects itself, to show that the trap works.
    pub(crate) async fn assert_no_connection(self) {
        assert_eq!(self.connections.load(Ordering::SeqCst), 0, "something connected to what a caller named");
        drop(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap());
        while self.connections.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Records the peers of a process from the socket tables of the kernel, which show failed attempts for seconds.
pub(crate) struct ConnectionWatch {
    found: Arc<Mutex<BTreeSet<(IpAddr, u16)>>>,
    task: JoinHandle<()>,
}

impl ConnectionWatch {
    pub(crate) fn of(process: u32) -> Self {
        let found = Arc::<Mutex<BTreeSet<(IpAddr, u16)>>>::default();
        let seen = Arc::clone(&found);
        let task = tokio::spawn(async move {
            loop {
                seen.lock().unwrap().extend(peers(process));
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { found, task }
    }

    /// Returns all peers, including failed attempts.
    pub(crate) fn peers(self) -> BTreeSet<(IpAddr, u16)> {
        self.task.abort();
        std::mem::take(&mut self.found.lock().unwrap())
    }
}

fn peers(process: u32) -> Vec<(IpAddr, u16)> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let sockets: BTreeSet<String> = open
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut peers = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (peer, is_open) = (fields[2], sockets.contains(fields[9]));
            peers.extend(Some(read(peer)).filter(|(_, port)| is_open && *port != 0));
        }
    }
    peers
}

/// Parses an address and port of a socket table: hexadecimal words in the byte order of the machine.
fn read(peer: &str) -> (IpAddr, u16) {
    let (address, port) = peer.split_once(':').unwrap();
    let words = address.as_bytes().chunks(8).map(|word| std::str::from_utf8(word).unwrap());
    let bytes: Vec<u8> =
        words.flat_map(|word| u32::from_str_radix(word, 16).unwrap().to_ne_bytes()).collect();
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap())).to_canonical(),
    };
    (address, u16::from_str_radix(port, 16).unwrap())
}
