//! The commands of `nno` that speak to a server: who one is and may do, keys, and stack templates from files.

pub mod access;
mod api;
pub mod say;
pub mod stack;
