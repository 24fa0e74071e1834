//! The methods of `proto/` as types: each request type names its method and its response type.

use prost::Message;

/// A service that `proto/` defines.
pub trait Service: Send + Sync + 'static {
    /// Name of the process that serves it, such as `stack-registry`.
    const PROCESS: &'static str;
    /// Full name, such as `nno.registry.v1.Registry`.
    const NAME: &'static str;
    /// Paths of all its methods.
    const METHODS: &'static [&'static str];
}

/// Request of a unary method.
pub trait Method: Message + Default + 'static {
    type Service: Service;
    type Response: Message + Default + 'static;
    /// Path of the method, such as `/nno.registry.v1.Registry/StartBuild`.
    const PATH: &'static str;
}

/// Message that the caller of a bidirectional stream sends.
pub trait StreamMethod: Message + Default + 'static {
    type Service: Service;
    type Response: Message + Default + 'static;
    const PATH: &'static str;
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));
