//! What bringing a stack to a version adds to it, changes of it and removes from it.

use domain::{
    Error, Kind, Result, Slug, StackId, Version, feature::check_names, resource::Environment, stack,
};
use identity::PlatformScope;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stack_definition::Feature;
use utoipa::ToSchema;

use super::{
    definition::Known,
    model::{Edition, Stack},
};
use crate::features::model::Activation;

/// A feature as the tenant runs it, or is to run it, from the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) feature: Slug,
    pub(crate) version: Version,
    pub(crate) package: String,
    pub(crate) has_service: bool,
    #[serde(default)]
    pub(crate) service_url: Option<String>,
}

/// One thing of a stack that comes, changes or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Move {
    kind: Moved,
    /// Id of the feature, or type of the resource.
    id: String,
    /// Version of the feature that runs.
    #[schema(required)]
    from: Option<String>,
    /// Version of the feature that is to run.
    #[schema(required)]
    to: Option<String>,
}

/// What comes, changes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Moved {
    Feature,
    Resource,
}

/// What a change of a stack comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Plan {
    /// Version that runs; null when none does.
    #[schema(value_type = Option<String>, required)]
    pub(crate) from: Option<Version>,
    /// Version that is to run.
    #[schema(value_type = String)]
    pub(crate) to: Version,
    pub(crate) added: Vec<Move>,
    pub(crate) changed: Vec<Move>,
    /// Resources that are removed are no longer used, and keep their data.
    pub(crate) removed: Vec<Move>,
}

/// The tenant's activations that matter to a stack: its own, and those elsewhere of features that it has.
pub(super) struct Present {
    pub(super) own: Vec<Activation>,
    elsewhere: Vec<Activation>,
}

impl Present {
    pub(super) fn of(stack: &StackId, rows: Vec<Activation>) -> Self {
        let (own, elsewhere) = rows.into_iter().partition(|row| row.stack_id == *stack);
        Self { own, elsewhere }
    }

    /// The tenant's activation of a feature, if it was ever asked for.
    pub(super) fn row(&self, feature: &Slug) -> Option<&Activation> {
        self.own.iter().chain(&self.elsewhere).find(|row| row.feature_id == *feature)
    }

    /// What runs from the stack.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.own.iter().filter_map(Part::live).collect()
    }

    /// The features that are to run: the required ones, and those that run already and that the version has. What the
    /// tenant runs from elsewhere stays there.
    pub(super) fn target(&self, known: &Known) -> Vec<Part> {
        let runs = |rows: &[Activation], id: &Slug, live: fn(&Activation) -> bool| {
            rows.iter().any(|row| row.feature_id == *id && live(row))
        };
        let wanted = known.definition.features().iter().filter(|feature| {
            !runs(&self.elsewhere, feature.id(), |row| row.status.is_live())
                && (feature.is_required() || runs(&self.own, feature.id(), |row| row.live_version.is_some()))
        });
        let part = |feature: &Feature| Part {
            feature: feature.id().clone(),
            version: feature.version().clone(),
            package: feature.package().to_owned(),
            has_service: feature.has_service(),
            service_url: None,
        };
        wanted.map(part).collect()
    }
}

impl Part {
    fn live(row: &Activation) -> Option<Self> {
        Some(Self {
            feature: row.feature_id.clone(),
            version: row.live_version.clone()?,
            package: row.live_package.clone()?,
            has_service: row.has_service,
            service_url: row.service_url.clone(),
        })
    }

    fn is_as(&self, other: &Self) -> bool {
        (&self.version, &self.package, self.has_service)
            == (&other.version, &other.package, other.has_service)
    }
}

impl Plan {
    /// What bringing `stack` to an edition comes to.
    pub(super) fn of(stack: &Stack, present: &Present, edition: &Edition, known: &Known) -> Self {
        let (before, after) = (present.parts(), present.target(known));
        let mut plan = Self {
            from: stack.edition().filter(|_| stack.is_live).map(|edition| edition.version),
            to: edition.version.clone(),
            added: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
        };
        for part in &after {
            match before.iter().find(|one| one.feature == part.feature) {
                None => plan.added.push(feature(&part.feature, None, Some(&part.version))),
                Some(one) if one.is_as(part) => {}
                Some(one) => {
                    plan.changed.push(feature(&part.feature, Some(&one.version), Some(&part.version)));
                }
            }
        }
        for part in &before {
            if !after.iter().any(|one| one.feature == part.feature) {
                plan.removed.push(feature(&part.feature, Some(&part.version), None));
            }
        }
        let shared = known.shared();
        plan.added
            .extend(shared.iter().filter(|kind| !stack.shared.contains(kind)).map(|kind| resource(kind)));
        plan.removed
            .extend(stack.shared.iter().filter(|kind| !shared.contains(kind)).map(|kind| resource(kind)));
        plan
    }

    /// What tells the plan from every other: also from the same of another stack.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(super) fn hash(&self, stack: &StackId) -> Result<String> {
        let text = serde_json::to_vec(&(stack, self)).map_err(Error::internal)?;
        Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn feature(id: &Slug, from: Option<&Version>, to: Option<&Version>) -> Move {
    let text = |version: Option<&Version>| version.map(ToString::to_string);
    Move { kind: Moved::Feature, id: id.to_string(), from: text(from), to: text(to) }
}

fn resource(kind: &str) -> Move {
    Move { kind: Moved::Resource, id: kind.to_owned(), from: None, to: None }
}

/// Refuses a version whose features could have no names in the stack.
///
/// # Errors
/// [`Kind::Unprocessable`], whose details name the features and why.
pub(super) fn check_parts(scope: &PlatformScope, stack: &StackId, known: &Known) -> Result<()> {
    let wrong = |id: &Slug| {
        if id.as_str() == stack::SHARED {
            return Some("is what the features of a stack share".to_owned());
        }
        check_names(scope.id(), stack, id, Environment::Prod).err()
    };
    let faults: Vec<_> = known
        .definition
        .features()
        .iter()
        .filter(|feature| feature.has_service())
        .filter_map(|feature| {
            Some(serde_json::json!({ "feature": feature.id(), "reason": wrong(feature.id())? }))
        })
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    let message = "The version has features that cannot have a service in this stack";
    Err(Error::new(Kind::Unprocessable, message).with("features", faults))
}
