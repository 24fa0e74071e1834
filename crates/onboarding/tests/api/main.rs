//! Onboarding with its real peers: registry, stack registry and provisioning on real sockets and real Postgres, and a
//! provider that remembers all it was asked.

mod saga;
mod sessions;
mod system;
