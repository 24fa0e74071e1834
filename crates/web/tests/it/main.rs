//! Servers over real sockets.

#[cfg(test)]
mod workers;
