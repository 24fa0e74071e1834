//! A version of a template, as far as a stack is made of it.

use domain::{Error, Kind, Result, Slug, Version, resource::ResourceType, stack};
use serde_json::{Value, json};
use stack_definition::StackDefinition;

use super::model::TemplateVersion;

/// A version of a template, by the names that the stack registry has it under.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) template_id: String,
    pub(crate) template_name: String,
    pub(crate) version: Version,
    pub(crate) definition: StackDefinition,
    /// The definition as it was told.
    text: String,
}

impl Known {
    /// Reads what was told of a version. It is not believed to be a definition.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn told(row: TemplateVersion) -> Result<Self, String> {
        let value: Value = serde_json::from_str(&row.definition).map_err(|error| error.to_string())?;
        let definition = StackDefinition::read(&value).map_err(|faults| {
            let told: Vec<_> =
                faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
            told.join("; ")
        })?;
        Ok(Self::of(row, definition))
    }

    /// Reads what is kept of a version, which was checked when it was told.
    ///
    /// # Errors
    /// [`Kind::Internal`] when it is not of the format.
    pub(super) fn kept(row: TemplateVersion) -> Result<Self> {
        let definition = StackDefinition::from_published(&row.definition)?;
        Ok(Self::of(row, definition))
    }

    fn of(row: TemplateVersion, definition: StackDefinition) -> Self {
        let TemplateVersion { template_name, version, template_id, definition: text } = row;
        Self { template_id, template_name, version, definition, text }
    }

    /// The template, and which version of it.
    pub(super) fn name(&self) -> (&str, &str) {
        (&self.template_name, self.version.as_str())
    }

    /// What is kept of it.
    pub(super) fn row(&self) -> TemplateVersion {
        TemplateVersion {
            template_name: self.template_name.clone(),
            version: self.version.clone(),
            template_id: self.template_id.clone(),
            definition: self.text.clone(),
        }
    }

    /// What all features of the stack share, in the order in which it is made.
    pub(crate) fn shared(&self) -> Vec<String> {
        let resources = self.definition.resources();
        let wanted = |kind: &ResourceType| match kind {
            ResourceType::D1 => resources.d1,
            ResourceType::R2 => resources.r2,
            ResourceType::Kv => resources.kv,
            ResourceType::Queue => resources.queue,
            ResourceType::Worker | ResourceType::Pages => false,
        };
        stack::SHARABLE.into_iter().filter(wanted).map(|kind| kind.to_string()).collect()
    }

    /// The templates that it depends on.
    pub(super) fn dependencies(&self) -> Vec<&Slug> {
        self.definition.depends_on().iter().map(|dependency| dependency.template()).collect()
    }

    /// Refuses the version where something that it depends on is not `running`.
    ///
    /// # Errors
    /// [`Kind::Unprocessable`], whose details name what is missing.
    pub(super) fn check_dependencies(&self, running: &[(String, Version)]) -> Result<()> {
        let missing: Vec<_> = self
            .definition
            .depends_on()
            .iter()
            .filter(|one| {
                let (name, range) = (one.template().as_str(), one.version_range());
                !running.iter().any(|(template, version)| template == name && range.matches(version))
            })
            .map(|one| (one.template(), one.version_range()))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            missing.iter().map(|(template, range)| format!("{template} {}", range.as_str())).collect();
        let message =
            format!("The version depends on {}, of which the platform runs no stack", names.join(", "));
        let missing: Vec<Value> = missing
            .into_iter()
            .map(|(template, range)| json!({ "template": template, "versionRange": range }))
            .collect();
        Err(Error::new(Kind::Unprocessable, message).with("missing", missing))
    }
}
