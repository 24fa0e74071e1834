//! A stack manifest: a template and one version of it in a file, as its authors keep it under version control.

use domain::{Fault, Slug, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    StackDefinition,
    rules::read_around,
    text::{Description, DisplayName, Text, given},
};

/// A template and one version of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Where the JSON Schema of this format is, for editors.
    #[serde(
        rename = "$schema",
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub schema: Option<String>,
    /// The name of the template: for ever.
    pub name: Slug,
    /// What people call the template.
    pub display_name: DisplayName,
    /// What the template is for.
    pub description: Description,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub icon: Option<Text<0, 2048>>,
    /// What the template is for, such as `commerce`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub domain: Option<Text<0, 256>>,
    /// The version to publish; another definition needs another version.
    pub version: Version,
    pub nno_sdk_version: Version,
    /// What stacks of this version are made of.
    pub definition: StackDefinition,
}

impl Manifest {
    /// Reads a manifest as its author wrote it.
    ///
    /// # Errors
    /// Every fault, by its JSON pointer into the manifest.
    pub fn read(value: &Value) -> Result<Self, Vec<Fault>> {
        read_around(value, "definition")
    }
}
