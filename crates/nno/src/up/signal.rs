//! SIGTERM, Ctrl-C and a closed terminal stop in order, a second signal at once. SIGHUP alone has settings read anew.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use nix::{fcntl::OFlag, sys::signal::Signal};
use runtime::shutdown::Shutdown;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{
        Notify,
        mpsc::{self, UnboundedSender},
    },
    time::sleep,
};

/// How long after the signal a terminal may be there that is being closed: a session whose leader ends is told first.
const CLOSING: Duration = Duration::from_millis(200);

/// Told each time that settings are to be read anew; several that nobody waited for are one.
pub(crate) type HangUps = Arc<Notify>;

/// Begins `stop` at the first signal; what is returned ends at the second, with its name.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn listen(stop: &Shutdown) -> io::Result<(impl Future<Output = Signal> + use<>, HangUps)> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for (kind, name) in
        [(SignalKind::terminate(), Signal::SIGTERM), (SignalKind::interrupt(), Signal::SIGINT)]
    {
        let (mut stream, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(name).is_ok() {} });
    }
    let hang_ups = hang_ups(sender)?;
    let stop = stop.clone();
    let second = async move {
        if let Some(first) = receiver.recv().await {
            tracing::info!(signal = first.as_str(), "stopping; a second signal stops at once");
            stop.begin();
        }
        match receiver.recv().await {
            Some(second) => second,
            None => std::future::pending().await,
        }
    };
    Ok((second.fuse(), hang_ups))
}

/// SIGHUP has two meanings: people send it to have settings read anew, and the system when the terminal is closed.
fn hang_ups(stop: UnboundedSender<Signal>) -> io::Result<HangUps> {
    let told = HangUps::default();
    // `nohup` means that we are to outlive the terminal.
    let bound = has_terminal() && !is_ignored(Signal::SIGHUP);
    let (mut stream, tell) = (signal(SignalKind::hangup())?, Arc::clone(&told));
    tokio::spawn(async move {
        while stream.recv().await.is_some() {
            if bound && is_closed().await {
                // Once: the shell and the system may both tell it, and that is no haste.
                let _ = stop.send(Signal::SIGHUP);
                return;
            }
            tell.notify_one();
        }
    });
    Ok(told)
}

async fn is_closed() -> bool {
    if has_terminal() {
        sleep(CLOSING).await;
    }
    !has_terminal()
}

/// Whether there is a terminal that the process belongs to. It opens as long as it is not closed.
fn has_terminal() -> bool {
    let without_waiting = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    File::options().read(true).custom_flags(without_waiting).open("/dev/tty").is_ok()
}

/// Whether whoever started us had the signal ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal as i32 - 1)) != 0
}
