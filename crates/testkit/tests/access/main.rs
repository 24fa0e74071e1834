//! Who gets in, tried on all services and the gateway at once.

#[cfg(test)]
mod grpc;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod system;
