//! SIGTERM, Ctrl-C and a closed terminal: the first stops in order, the second at once.

use std::{fs, io};

use futures_util::FutureExt;
use kit::shutdown::Shutdown;
use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Begins `stop` at the first signal; what is returned ends at the second, with its name.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn listen(stop: &Shutdown) -> io::Result<impl Future<Output = Signal> + use<>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut kinds =
        vec![(SignalKind::terminate(), Signal::SIGTERM), (SignalKind::interrupt(), Signal::SIGINT)];
    // `nohup` means that we are to outlive the terminal.
    if !is_ignored(Signal::SIGHUP) {
        kinds.push((SignalKind::hangup(), Signal::SIGHUP));
    }
    for (kind, name) in kinds {
        let (mut stream, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(name).is_ok() {} });
    }
    let stop = stop.clone();
    Ok(async move {
        if let Some(first) = receiver.recv().await {
            tracing::info!(signal = first.as_str(), "stopping; a second signal stops at once");
            stop.begin();
        }
        match receiver.recv().await {
            Some(second) => second,
            None => std::future::pending().await,
        }
    }
    .fuse())
}

/// Whether whoever started us had the signal ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal as i32 - 1)) != 0
}
