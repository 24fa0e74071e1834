//! The definition of a version of a stack, as its author writes it.
//!
//! The types describe the structure. `rules` contains the constraints that types cannot express.

use std::collections::BTreeMap;

use domain::{Error, Fault, Result, Slug, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    range::VersionRange,
    rules,
    text::{Description, DisplayName, Text, non_null},
};

/// Content of a version of a stack template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StackDefinition {
    schema_version: SchemaVersion,
    display_name: DisplayName,
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    description: Option<Description>,
    features: Vec<Feature>,
    resources: Resources,
    /// JSON Schema 2020-12 for the values that a user fills in.
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    inputs: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    depends_on: Option<Vec<Dependency>>,
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    labels: Option<BTreeMap<String, String>>,
}

/// Part of the stack that users see and use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feature {
    /// Unique within the definition.
    id: Slug,
    version: Version,
    /// Package that contains its user interface.
    package: Text<1, 214>,
    /// True if every stack runs the feature.
    required: bool,
    /// True if the feature has a service of its own. The default is true.
    #[serde(default, deserialize_with = "non_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    service: Option<bool>,
    /// Permission keys `^{id}:[a-z-]+$`.
    permissions: Vec<String>,
}

/// Types of resources that the stack needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    pub d1: bool,
    pub r2: bool,
    pub kv: bool,
    pub queue: bool,
}

/// Another stack that must exist in the same platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    template: Slug,
    version_range: VersionRange,
}

impl StackDefinition {
    /// Reads a definition as its author wrote it.
    ///
    /// # Errors
    /// All faults, by JSON pointer into the definition.
    pub fn read(value: &Value) -> Result<Self, Vec<Fault>> {
        rules::read(value)
    }

    /// Reads the text of a published definition, which was checked by the rules at that time.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] if the text does not have the format.
    pub fn from_published(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::internal(format_args!("a definition: {error}")))
    }

    /// The canonical text of the definition: sorted keys, no white space, lists in the author's order. Equal definitions
    /// have equal texts.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] if the definition cannot be written as JSON.
    pub fn canonical(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(Error::internal)?;
        // The keys are sorted already, unless a crate in the build enables `preserve_order` of serde_json.
        value.sort_all_objects();
        Ok(value.to_string())
    }

    /// The display name of the stack.
    pub fn display_name(&self) -> &str {
        self.display_name.as_str()
    }

    /// The purpose of the stack.
    pub fn description(&self) -> Option<&str> {
        self.description.as_ref().map(Text::as_str)
    }

    /// The features, in the author's order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The types of resources that the stack needs.
    pub fn resources(&self) -> Resources {
        self.resources
    }

    /// The JSON Schema of the values that a user fills in, if there are any.
    pub fn inputs(&self) -> Option<&Map<String, Value>> {
        self.inputs.as_ref()
    }

    /// The dependencies, in the author's order.
    pub fn depends_on(&self) -> &[Dependency] {
        self.depends_on.as_deref().unwrap_or_default()
    }

    /// The labels by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Feature {
    /// The id, unique within the definition.
    pub fn id(&self) -> &Slug {
        &self.id
    }

    /// The version that the stack runs.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The package that contains its user interface.
    pub fn package(&self) -> &str {
        self.package.as_str()
    }

    /// Returns true if every stack runs the feature.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Returns true if the feature has a service of its own, which is the default.
    pub fn has_service(&self) -> bool {
        self.service.unwrap_or(true)
    }

    /// The permission keys of the feature.
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }
}

impl Dependency {
    /// The name of the template.
    pub fn template(&self) -> &Slug {
        &self.template
    }

    /// The range of its versions that satisfy the dependency.
    pub fn version_range(&self) -> &VersionRange {
        &self.version_range
    }
}

/// Version of the definition format: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SchemaVersion;

impl TryFrom<u64> for SchemaVersion {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, &'static str> {
        if number == 1 { Ok(Self) } else { Err("must be 1") }
    }
}

impl From<SchemaVersion> for u64 {
    fn from(SchemaVersion: SchemaVersion) -> Self {
        1
    }
}

impl PartialSchema for SchemaVersion {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1])).into()
    }
}

impl ToSchema for SchemaVersion {}
