//! Attacks on the whole system that are made of its own document, so that an operation that is new is attacked too.

mod document;
mod fields;
mod hosts;
mod listener;
mod names;
mod world;
