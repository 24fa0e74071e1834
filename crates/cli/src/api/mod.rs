//! Access to the API: addresses, credentials and requests.

mod address;
mod client;
mod credentials;
mod environment;
mod server;

pub(crate) use self::{
    address::Address,
    client::{Api, Failure},
    credentials::CredentialsStore,
    server::{Connection, KeySource, Server, address, environment_has_key},
};
