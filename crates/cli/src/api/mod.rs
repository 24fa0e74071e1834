//! How `nno` speaks to the API: where it is, with whose key, and what it answers.

mod address;
mod client;
mod environment;
mod kept;
mod server;

pub(crate) use self::{
    address::Address,
    client::{Api, Failure},
    kept::Store,
    server::{Connection, Server, Source, address, environment_has_key},
};
