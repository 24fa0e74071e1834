//! The provisioning service: the only service that touches a provider.

pub mod providers;
