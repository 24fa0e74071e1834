//! The methods of `proto/` as types: each request names its method and its answer.

use prost::Message;

/// A service of `proto/`.
pub trait Service: Send + Sync + 'static {
    /// The process that serves it, such as `stack-registry`.
    const PROCESS: &'static str;
    /// Its full name, such as `nno.registry.v1.Registry`.
    const NAME: &'static str;
    /// The paths of all its methods.
    const METHODS: &'static [&'static str];
}

/// The request of a method that has one answer.
pub trait Method: Message + Default + 'static {
    type Service: Service;
    type Answer: Message + Default + 'static;
    /// The method's path, such as `/nno.registry.v1.Registry/StartBuild`.
    const PATH: &'static str;
}

/// What is sent of a method in which both sides send as long as they like.
pub trait StreamMethod: Message + Default + 'static {
    type Service: Service;
    type Answer: Message + Default + 'static;
    const PATH: &'static str;
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));
