//! Attacks on the whole system, generated from its OpenAPI document, so that new operations are attacked too.

mod connections;
mod document;
mod fields;
mod fixtures;
mod hosts;
mod names;
