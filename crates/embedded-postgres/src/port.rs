use std::net::{Ipv4Addr, TcpListener};

use crate::error::Error;

/// The port asked for; else the last one, if it is still free; else any free one.
///
/// # Errors
/// [`Error::PortTaken`] if the port asked for is in use.
pub(crate) fn choose(asked: Option<u16>, last: Option<u16>) -> Result<u16, Error> {
    if let Some(port) = asked {
        return bind(port).ok_or(Error::PortTaken(port));
    }
    last.and_then(bind).or_else(|| bind(0)).ok_or(Error::PortTaken(0))
}

/// The port (a free one for 0), if one can listen on it; released again, so that another may be faster to take it.
fn bind(port: u16) -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}
