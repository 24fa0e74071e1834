//! The format of stack definitions.
//!
//! All readers share it: the stack registry, which publishes definitions, the registry, which creates stacks, and
//! `nno stack` on the author's machine. The types describe the structure, and `rules` the constraints that types cannot
//! express. Together they report all faults at once, each with its JSON pointer. Nothing here does I/O.

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
pub use rules::read_with_definition;
pub use schema::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH, definition_schema, manifest_schema};
