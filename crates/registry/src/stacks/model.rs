//! The rows of stacks, which are also what is answered.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, QueryableByName, Selectable, sql_types};
use domain::{
    Cursor, EntityId, Error, Name, PlatformId, Result, StackId, Version,
    stack::{StackEvent, StackStatus},
};
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{definition::Known, plan::Part};
use crate::schema::{stacks, template_versions};

/// What a person filled in, by the names that the definition's schema has.
pub(crate) type Inputs = Map<String, Value>;

/// A running instance of a stack template, or a custom one.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    ToSchema,
    Queryable,
    Selectable,
    Insertable,
    Identifiable,
    AsChangeset,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = stacks, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct Stack {
    pub(crate) id: StackId,
    pub(crate) tenant_id: EntityId,
    pub(crate) platform_id: PlatformId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    /// Id of the template, also where the stack was made by the template's name.
    #[schema(required)]
    pub(crate) template_id: Option<String>,
    /// Not part of the API.
    #[serde(skip)]
    pub(crate) template_name: Option<String>,
    /// The version of the template that it runs; of one that never ran, the one that it is to run.
    #[schema(value_type = Option<String>, required)]
    pub(crate) template_version: Option<Version>,
    #[schema(required)]
    pub(crate) repo_name: Option<Name>,
    pub(crate) status: StackStatus,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    /// Not part of the API.
    #[serde(skip)]
    pub(crate) is_live: bool,
    /// What was filled in for the version; null of a custom stack.
    #[schema(value_type = Option<Object>, required)]
    pub(crate) inputs: Option<Value>,
    /// Why it failed; of an active one, why its last change did.
    #[schema(required)]
    pub(crate) error: Option<String>,
    /// The job in provisioning that was asked for last.
    #[schema(required)]
    pub(crate) provision_job_id: Option<Uuid>,
    /// Not part of the API, as all that follows.
    #[serde(skip)]
    pub(crate) wanted: Option<Value>,
    #[serde(skip)]
    pub(crate) previous: Option<Value>,
    #[serde(skip)]
    pub(crate) replaced: Option<Value>,
    #[serde(skip)]
    pub(crate) shared: Vec<String>,
    #[serde(skip)]
    pub(crate) deleted_at: Option<DateTime<Utc>>,
}

/// A version of the stack's template, with what was filled in for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edition {
    pub(crate) version: Version,
    pub(crate) inputs: Inputs,
}

/// What a job is to lead to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    #[serde(flatten)]
    pub(crate) edition: Edition,
    /// Whether it goes back to what ran before.
    pub(crate) back: bool,
}

/// What a job that is done has replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Replaced {
    /// What ran, if something did.
    pub(crate) edition: Option<Edition>,
    pub(crate) previous: Option<Value>,
    pub(crate) shared: Vec<String>,
    /// The features that the tenant ran from the stack.
    pub(crate) parts: Vec<Part>,
}

/// What is known of a version of a template.
#[derive(Debug, Clone, Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = template_versions)]
pub(crate) struct TemplateVersion {
    pub(crate) template_name: String,
    pub(crate) version: Version,
    pub(crate) template_id: String,
    pub(crate) definition: String,
}

/// What a new stack is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewStack {
    pub(crate) tenant_id: EntityId,
    pub(crate) name: Name,
    pub(crate) is_default: bool,
    /// Id or name of the template; none makes a custom stack.
    pub(crate) template: Option<Name>,
    pub(crate) inputs: Option<Inputs>,
    pub(crate) repo_name: Option<Name>,
}

impl NewStack {
    /// The row, with a new random id. One of a template is yet to be activated.
    ///
    /// # Errors
    /// When what is to be kept cannot be written as JSON.
    pub(crate) fn into_row(self, platform: &PlatformId, known: Option<&Known>) -> Result<Stack> {
        let now = clock::now();
        let row = Stack {
            id: StackId::random(),
            tenant_id: self.tenant_id,
            platform_id: platform.clone(),
            name: self.name,
            is_default: self.is_default,
            template_id: None,
            template_name: None,
            template_version: None,
            repo_name: self.repo_name,
            status: StackStatus::Active,
            created_at: now,
            updated_at: now,
            is_live: true,
            inputs: None,
            error: None,
            provision_job_id: None,
            wanted: None,
            previous: None,
            replaced: None,
            shared: Vec::new(),
            deleted_at: None,
        };
        let Some(known) = known else { return Ok(row) };
        let inputs = self.inputs.unwrap_or_default();
        let edition = Edition { version: known.version.clone(), inputs };
        Ok(Stack {
            template_id: Some(known.template_id.clone()),
            template_name: Some(known.template_name.clone()),
            template_version: Some(known.version.clone()),
            status: StackStatus::Pending,
            is_live: false,
            inputs: Some(Value::Object(edition.inputs.clone())),
            provision_job_id: Some(domain::id::uuid_v7()),
            wanted: Some(kept(&Wanted { edition, back: false })?),
            ..row
        })
    }
}

/// What is kept of a stack as JSON.
///
/// # Errors
/// When it cannot be written.
pub(super) fn kept(thing: &impl Serialize) -> Result<Value> {
    serde_json::to_value(thing).map_err(Error::internal)
}

fn told<T: for<'de> Deserialize<'de>>(kept: Option<&Value>) -> Result<Option<T>> {
    kept.map(|value| T::deserialize(value).map_err(Error::internal)).transpose()
}

impl Stack {
    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }

    /// The template and the version that it runs, or of one that never ran is to run; none of a custom one.
    pub(super) fn runs(&self) -> Option<(&str, &str)> {
        self.template_name.as_deref().zip(self.template_version.as_ref().map(Version::as_str))
    }

    /// The version that it runs, or of one that never ran is to run; none of a custom one.
    pub(super) fn edition(&self) -> Option<Edition> {
        let inputs = self.inputs.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        self.template_version.clone().map(|version| Edition { version, inputs })
    }

    /// What its job is to lead to.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn wanted(&self) -> Result<Wanted> {
        told(self.wanted.as_ref())?.ok_or_else(|| Error::internal("nothing is wanted of the stack"))
    }

    /// What ran before the last upgrade, if it can be gone back to.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn previous(&self) -> Result<Option<Edition>> {
        told(self.previous.as_ref())
    }

    /// What the job that ended last has replaced.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn replaced(&self) -> Result<Option<Replaced>> {
        told(self.replaced.as_ref())
    }

    /// The stack once `job` is asked to bring it to what is `wanted`.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(super) fn asked(&self, event: StackEvent, wanted: &Wanted, job: Uuid) -> Result<Self> {
        let mut after = self.stepped(event)?;
        (after.wanted, after.provision_job_id) = (Some(kept(wanted)?), Some(job));
        (after.error, after.replaced) = (None, None);
        if !after.is_live {
            after.template_version = Some(wanted.edition.version.clone());
            after.inputs = Some(Value::Object(wanted.edition.inputs.clone()));
        }
        Ok(after)
    }

    /// The stack after an event that changes nothing but its status.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(super) fn stepped(&self, event: StackEvent) -> Result<Self> {
        Ok(Self { status: self.status.after(event)?, updated_at: clock::now(), ..self.clone() })
    }

    /// The stack once `job` is asked to take it down: it is gone from now on.
    pub(super) fn removed(&self, job: Uuid) -> Self {
        let now = clock::now();
        Self { provision_job_id: Some(job), updated_at: now, deleted_at: Some(now), ..self.clone() }
    }

    /// The stack once its job is done.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`], or when what is to be kept cannot be written.
    pub(super) fn completed(&self, wanted: Wanted, known: &Known, parts: Vec<Part>) -> Result<Self> {
        let mut after = self.stepped(StackEvent::Complete)?;
        let ran = self.edition().filter(|_| self.is_live);
        let replaced = Replaced {
            edition: ran.clone(),
            previous: self.previous.clone(),
            shared: self.shared.clone(),
            parts,
        };
        after.replaced = Some(kept(&replaced)?);
        after.previous = match ran {
            _ if wanted.back => None,
            Some(ran) if ran.version != wanted.edition.version => Some(kept(&ran)?),
            _ => after.previous,
        };
        after.template_version = Some(wanted.edition.version);
        after.inputs = Some(Value::Object(wanted.edition.inputs));
        after.shared = known.shared();
        (after.is_live, after.error, after.wanted) = (true, None, None);
        Ok(after)
    }

    /// The stack once its job is undone, before it was done.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(super) fn failed(&self, why: &str) -> Result<Self> {
        let event = if self.is_live { StackEvent::Revert } else { StackEvent::Fail };
        let mut after = self.stepped(event)?;
        (after.error, after.wanted) = (Some(why.to_owned()), None);
        Ok(after)
    }

    /// The stack once its job is undone, after it was done.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(super) fn taken_back(&self, replaced: &Replaced, why: &str) -> Result<Self> {
        let mut after = Self { is_live: replaced.edition.is_some(), ..self.clone() }.failed(why)?;
        if let Some(edition) = &replaced.edition {
            after.template_version = Some(edition.version.clone());
            after.inputs = Some(Value::Object(edition.inputs.clone()));
        }
        (after.previous, after.shared) = (replaced.previous.clone(), replaced.shared.clone());
        after.replaced = None;
        Ok(after)
    }
}

/// How much a version of a template is in use; without a version, all of them together.
#[derive(Debug, QueryableByName)]
pub(crate) struct Usage {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    pub(crate) template_version: Option<String>,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) stacks: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) platforms: i64,
}
