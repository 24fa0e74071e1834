//! What a version of a stack is made of: the definition, as its author writes it.
//!
//! The types say its shape. What they cannot say stands in `rules`.

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
    text::{Description, DisplayName, Text, given},
};

/// What a version of a stack is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StackDefinition {
    schema_version: SchemaVersion,
    display_name: DisplayName,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    description: Option<Description>,
    features: Vec<Feature>,
    resources: Resources,
    /// A JSON Schema 2020-12 for what a person fills in.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    inputs: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    depends_on: Option<Vec<Dependency>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    labels: Option<BTreeMap<String, String>>,
}

/// A part of the stack that a person can see and use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feature {
    /// Unique within the definition.
    id: Slug,
    version: Version,
    /// The package that holds its user interface.
    package: Text<1, 214>,
    /// Whether the stack cannot be without it.
    required: bool,
    /// Whether it has a service of its own.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    service: Option<bool>,
    /// Keys `^{id}:[a-z-]+$`.
    permissions: Vec<String>,
}

/// Which kinds of resources the stack needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    pub d1: bool,
    pub r2: bool,
    pub kv: bool,
    pub queue: bool,
}

/// Another stack that must be there too.
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
    /// Every fault, by its JSON pointer into the definition.
    pub fn read(value: &Value) -> Result<Self, Vec<Fault>> {
        rules::read(value)
    }

    /// Reads the text of a definition that was published, and so was checked then: by the rules of that time.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] when it is not of the format.
    pub fn from_published(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::internal(format_args!("a definition: {error}")))
    }

    /// The definition as text: keys sorted, no white space, lists in their author's order. The same definition is
    /// always the same text.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn canonical(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(Error::internal)?;
        // Sorted already, unless some crate in the build has serde_json keep the order of insertion.
        value.sort_all_objects();
        Ok(value.to_string())
    }

    /// What people call the stack.
    pub fn display_name(&self) -> &str {
        self.display_name.as_str()
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_ref().map(Text::as_str)
    }

    /// Its features, in the author's order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Which kinds of resources it needs.
    pub fn resources(&self) -> Resources {
        self.resources
    }

    /// The JSON Schema of what a person fills in, if there is anything to fill in.
    pub fn inputs(&self) -> Option<&Map<String, Value>> {
        self.inputs.as_ref()
    }

    /// What it depends on, in the author's order.
    pub fn depends_on(&self) -> &[Dependency] {
        self.depends_on.as_deref().unwrap_or_default()
    }

    /// Its labels by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Feature {
    /// Its id, unique within the definition.
    pub fn id(&self) -> &Slug {
        &self.id
    }

    /// The version that the stack runs.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The package that holds its user interface.
    pub fn package(&self) -> &str {
        self.package.as_str()
    }

    /// Whether the stack cannot be without it.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether it has a service of its own: only one that says so has none.
    pub fn has_service(&self) -> bool {
        self.service.unwrap_or(true)
    }

    /// The keys of what may be permitted in it.
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }
}

impl Dependency {
    /// The name of the template.
    pub fn template(&self) -> &Slug {
        &self.template
    }

    /// Which of its versions will do.
    pub fn version_range(&self) -> &VersionRange {
        &self.version_range
    }
}

/// The version of the definition's own format: 1.
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
