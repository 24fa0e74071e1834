//! Stack manifests: a template and one version of it in a file that authors keep under version control.

use domain::{Fault, Slug, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    StackDefinition,
    rules::read_with_definition,
    text::{Description, DisplayName, Text, non_null},
};

/// Template and one version of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// URL of the JSON Schema of this format, for editors.
    #[serde(
        rename = "$schema",
        default,
        deserialize_with = "non_null",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    pub schema: Option<String>,
    /// Name of the template. It cannot be changed.
    pub name: Slug,
    /// Display name of the template.
    pub display_name: DisplayName,
    /// Purpose of the template.
    pub description: Description,
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub icon: Option<Text<0, 2048>>,
    /// Business domain of the template, such as `commerce`.
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub domain: Option<Text<0, 256>>,
    /// Version to publish. A different definition requires a different version.
    pub version: Version,
    pub nno_sdk_version: Version,
    /// Content of the stacks of this version.
    pub definition: StackDefinition,
}

impl Manifest {
    /// Reads a manifest as its author wrote it.
    ///
    /// # Errors
    /// All faults, by JSON pointer into the manifest.
    pub fn read(value: &Value) -> Result<Self, Vec<Fault>> {
        read_with_definition(value, "definition")
    }
}
