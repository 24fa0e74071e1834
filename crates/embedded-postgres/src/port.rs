use std::net::{Ipv4Addr, TcpListener};

use crate::error::Error;

/// Returns the requested port, else the last one if it is still free, else any free one.
///
/// # Errors
/// [`Error::PortTaken`] if the requested port is in use.
pub(crate) fn choose(requested: Option<u16>, last: Option<u16>) -> Result<u16, Error> {
    if let Some(port) = requested {
        return bind(port).ok_or(Error::PortTaken(port));
    }
    last.and_then(bind).or_else(|| bind(0)).ok_or(Error::PortTaken(0))
}

/// Returns the port (for 0, a free one) if it can be bound. It is released again, so another program may still take it.
fn bind(port: u16) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}
