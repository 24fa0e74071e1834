//! The format that stacks are defined in.
//!
//! One definition of it for all who read it: the stack registry that publishes, the registry that makes stacks, and
//! `nno stack` on its author's own machine. The types say its shape, `rules` what they cannot say; both together name
//! every fault at once, each by its JSON pointer. Nothing here does any I/O.

mod definition;
mod inputs;
mod manifest;
mod range;
mod rules;
mod schema;
pub mod text;

pub use definition::{Dependency, Feature, Resources, SchemaVersion, StackDefinition};
pub use inputs::check_inputs;
pub use manifest::Manifest;
pub use range::VersionRange;
pub use rules::read_around;
pub use schema::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH, definition_schema, manifest_schema};
