//! The commands of `nno` that call a server: access, API keys, and stack templates from files.

pub mod access;
mod api;
pub mod output;
pub mod stack;
