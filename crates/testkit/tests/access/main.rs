//! Authentication and authorization across all services and the gateway.

#[cfg(test)]
mod grpc;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod system;
