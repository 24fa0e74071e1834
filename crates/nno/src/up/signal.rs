//! Signals: SIGTERM, Ctrl-C and a closed terminal stop in order, a second signal at once. Any other SIGHUP reloads the
//! settings.

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

use super::console::Console;

/// Time that a closing terminal may stay open after the signal: the system signals a session whose leader ends first.
const TERMINAL_CLOSE_DELAY: Duration = Duration::from_millis(200);

/// Notified for each request to reload the settings. Requests that arrive during a reload count as one.
pub(crate) type ReloadRequests = Arc<Notify>;

/// Begins `stop` at the first signal. The returned future completes at the second one.
///
/// # Errors
/// When a signal handler cannot be installed.
pub(crate) fn listen(
    stop: &Shutdown,
    console: &Console,
) -> io::Result<(impl Future<Output = Signal> + use<>, ReloadRequests)> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for (kind, name) in
        [(SignalKind::terminate(), Signal::SIGTERM), (SignalKind::interrupt(), Signal::SIGINT)]
    {
        let (mut stream, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(name).is_ok() {} });
    }
    let reload_requests = listen_to_hangups(sender)?;
    let (stop, console) = (stop.clone(), console.clone());
    let second = async move {
        if let Some(first) = receiver.recv().await {
            tracing::info!(signal = first.as_str(), "stopping; a second signal stops at once");
            console.notice("\nStopping. Press Ctrl-C again to stop at once.");
            stop.begin();
        }
        match receiver.recv().await {
            Some(second) => second,
            None => std::future::pending().await,
        }
    };
    Ok((second.fuse(), reload_requests))
}

/// Distinguishes the two meanings of SIGHUP: a request to reload the settings, and the end of the terminal.
fn listen_to_hangups(stop: UnboundedSender<Signal>) -> io::Result<ReloadRequests> {
    let requests = ReloadRequests::default();
    // With `nohup` the process outlives its terminal.
    let ends_with_terminal = has_terminal() && !is_ignored(Signal::SIGHUP);
    let (mut stream, notify) = (signal(SignalKind::hangup())?, Arc::clone(&requests));
    tokio::spawn(async move {
        while stream.recv().await.is_some() {
            if ends_with_terminal && is_closed().await {
                // Sent once: the shell and the system may both send the signal, which must not stop at once.
                let _ = stop.send(Signal::SIGHUP);
                return;
            }
            notify.notify_one();
        }
    });
    Ok(requests)
}

async fn is_closed() -> bool {
    if has_terminal() {
        sleep(TERMINAL_CLOSE_DELAY).await;
    }
    !has_terminal()
}

/// Returns true if the process has a controlling terminal that is open.
fn has_terminal() -> bool {
    let without_waiting = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    File::options().read(true).custom_flags(without_waiting).open("/dev/tty").is_ok()
}

/// Returns true if the parent process set the signal to be ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal as i32 - 1)) != 0
}
