//! Who connects to what.

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

/// A port of this machine that nobody has any business with.
pub(crate) struct Trap {
    pub(crate) port: u16,
    sprung: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Trap {
    /// On every address of this machine, those of IPv6 among them.
    pub(crate) async fn set() -> Self {
        let sprung = Arc::new(AtomicUsize::new(0));
        let first = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        // A machine may have no IPv6; then nothing can come that way.
        listeners.extend(TcpListener::bind(("::1", port)).await.ok());
        let listen = |listener: TcpListener| {
            let sprung = Arc::clone(&sprung);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    sprung.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let tasks = listeners.into_iter().map(listen).collect();
        Self { port, sprung, tasks }
    }

    /// Panics if anyone came. That it would have noticed is tried at the end.
    pub(crate) async fn assert_not_sprung(self) {
        assert_eq!(self.sprung.load(Ordering::SeqCst), 0, "something connected to what a caller named");
        drop(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap());
        while self.sprung.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Watches whom a process connects to, as the kernel has it: an attempt that nothing answers is seen for seconds.
pub(crate) struct Watched {
    found: Arc<Mutex<BTreeSet<(IpAddr, u16)>>>,
    task: JoinHandle<()>,
}

impl Watched {
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

    /// Everyone it was connected to, or tried to be.
    pub(crate) fn all(self) -> BTreeSet<(IpAddr, u16)> {
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

/// An address and a port as the kernel writes them: words in the byte order of the machine, in hexadecimal.
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
