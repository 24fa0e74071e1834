//! What a version of a stack is made of: the definition, as its author writes it.
//!
//! The types say its shape. What they cannot say stands in `rules`.

use std::{collections::BTreeMap, str::FromStr};

use domain::{Error, Result, Slug, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::text::{Description, DisplayName, Text, given};

/// What a version of a stack is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StackDefinition {
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
pub(crate) struct Feature {
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resources {
    d1: bool,
    r2: bool,
    kv: bool,
    queue: bool,
}

/// Another stack that must be there too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Dependency {
    template: Slug,
    version_range: VersionRange,
}

impl StackDefinition {
    /// The definition as text: keys sorted, no white space, lists in their author's order. The same definition is
    /// always the same text.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn canonical(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(Error::internal)?;
        // Sorted already, unless some crate in the build has serde_json keep the order of insertion.
        value.sort_all_objects();
        Ok(value.to_string())
    }

    /// The names of the templates that it depends on, in the author's order.
    pub(crate) fn depends_on(&self) -> Vec<String> {
        self.depends_on.iter().flatten().map(|dependency| dependency.template.to_string()).collect()
    }
}

/// The version of the definition's own format: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub(crate) struct SchemaVersion;

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

const RANGE_MAX: usize = 256;

/// Which versions will do, in cargo's words: `^1.2`, `>=1.2, <3`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct VersionRange(String);

impl FromStr for VersionRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > RANGE_MAX {
            return Err(format!("must be at most {RANGE_MAX} characters"));
        }
        match semver::VersionReq::parse(text) {
            // As its author wrote it: a canonical text of the same range might read strangely.
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("must be a range of versions such as ^1.2: {error}")),
        }
    }
}

impl TryFrom<String> for VersionRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> Self {
        range.0
    }
}

impl PartialSchema for VersionRange {
    fn schema() -> RefOr<Schema> {
        let described =
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(RANGE_MAX));
        described.description(Some("Which versions will do, such as ^1.2")).into()
    }
}

impl ToSchema for VersionRange {}
