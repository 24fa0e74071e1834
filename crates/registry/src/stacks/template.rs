//! Versions of templates: fetched from the stack registry, checked, and stored once a stack uses them. While the stack
//! registry is down, only versions that no stack ever used are unavailable.

use std::{sync::LazyLock, time::Duration};

use database::Conn;
use domain::{
    Error, Fault, Kind, Name, PlatformId, Result, Slug, StackId, Version,
    deployment::{Inputs, PlannedFeature, Release, ReleaseFeature},
    feature::check_names,
    masked::masked_text,
    resource::{Environment, ResourceType},
    stack::{SHARABLE, SHARED},
    template::TemplateStatus,
};
use identity::{Ctx, PlatformScope};
use rpc::{
    Client, PeerCall, parse_enum,
    stack_registry::{GetTemplateRequest, GetVersionRequest, Version as VersionMessage},
};
use runtime::fair::{FairKey, FairSemaphore};
use serde_json::{Value, json};
use stack_definition::{Feature, StackDefinition};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    model::{StackRow, TemplateVersion},
    store,
};
use crate::App;

/// Deadline of a call to the stack registry. Short, because a client waits for the response.
const CALL: PeerCall<'static> = PeerCall { idempotency_key: None, deadline: Some(Duration::from_secs(2)) };
/// Concurrent checks of inputs in this process. A platform gets at most one.
static CHECKS: LazyLock<FairSemaphore> = LazyLock::new(|| FairSemaphore::new(2));
/// Maximum wait for a check to begin.
const WAIT: Duration = Duration::from_secs(3);

/// Version of a template with its definition.
#[derive(Debug, Clone)]
pub(super) struct ResolvedTemplate {
    pub(super) template_id: String,
    pub(super) template_name: String,
    pub(super) version: Version,
    definition: StackDefinition,
    /// The definition as the stack registry sent it.
    text: String,
}

/// Returns the newest active version of a template, by the template's id or name. The caller must not hold a
/// connection.
///
/// # Errors
/// [`Kind::TemplateUnavailable`] if the template is unknown, is deprecated or has no active version,
/// [`Kind::ServiceUnavailable`] if the stack registry cannot be reached, [`Kind::Upstream`] if its answer is invalid.
pub(super) async fn newest_version(app: &App, ctx: &Ctx, template: &Name) -> Result<ResolvedTemplate> {
    let peer = &app.stack_registry;
    let answer = peer.call_with(ctx, CALL, GetTemplateRequest { template: template.to_string() }).await;
    let answer = answer.map_err(|error| refused(error, template))?;
    let found = answer.template.ok_or_else(|| invalid_answer(template, "no template"))?;
    check_active(found.status, template)?;
    let version = answer.latest_version.ok_or_else(|| unavailable(template, "has no active version"))?;
    read(app, peer, &found.name, version).await
}

/// Returns a version of a template, by the template's name. The caller must not hold a connection.
///
/// # Errors
/// Those of [`newest_version`]. A version that a stack used before is also available while the stack registry is down.
pub(super) async fn version(app: &App, ctx: &Ctx, name: &str, version: &Version) -> Result<ResolvedTemplate> {
    let peer = &app.stack_registry;
    let message = GetVersionRequest { name: name.to_owned(), version: version.to_string() };
    let answer = peer.call_with(ctx, CALL, message).await;
    let which = format!("{name} {version}");
    match answer.map_err(|error| refused(error, &which)) {
        Ok(answer) => {
            let found = answer.version.ok_or_else(|| invalid_answer(&which, "no version"))?;
            if found.version != version.as_str() {
                return Err(invalid_answer(&which, "another version"));
            }
            check_active(found.status, &which)?;
            read(app, peer, name, found).await
        }
        // The version may be deprecated by now, but its definition never changes.
        Err(error) if error.kind() == Kind::ServiceUnavailable => {
            app.db.read(ctx, async |c| store::template_version(c, name, version).await).await?.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// Returns the stored version if there is one, else the received one.
async fn read(
    app: &App,
    peer: &Client<rpc::StackRegistry>,
    name: &str,
    received: VersionMessage,
) -> Result<ResolvedTemplate> {
    let which = format!("{name} {}", received.version);
    let version = Version::parse(&received.version).map_err(|why| invalid_answer(&which, &why))?;
    let received = TemplateVersion {
        template_name: name.to_owned(),
        version,
        template_id: received.template_id,
        definition: received.stack_definition,
    };
    let stored =
        app.db.service_read(async |c| store::template_version(c, name, &received.version).await).await?;
    match stored {
        Some(stored) => {
            if stored.text != received.definition {
                tracing::warn!(which, "the {} changed an immutable version", peer.peer().name());
            }
            Ok(stored)
        }
        None => ResolvedTemplate::from_received(received).map_err(|why| invalid_answer(&which, &why)),
    }
}

fn refused(error: Error, which: impl std::fmt::Display) -> Error {
    match error.kind() {
        Kind::NotFound | Kind::Validation => {
            unavailable(which, "does not exist").context(error.log_context())
        }
        kind if kind.is_transient() => Error::unavailable("The stack registry", error.log_context()),
        _ => Error::internal(error.message()).context(error.log_context()),
    }
}

fn unavailable(which: impl std::fmt::Display, why: &str) -> Error {
    let which = masked_text(which.to_string());
    Error::new(Kind::TemplateUnavailable, format!("The template '{which}' {why}.")).with("template", which)
}

/// Rejects a template, or a version of it, that the stack registry says is deprecated.
fn check_active(status: i32, which: impl std::fmt::Display) -> Result<()> {
    match parse_enum("status", status) {
        Ok(TemplateStatus::Active) => Ok(()),
        Ok(TemplateStatus::Deprecated) => Err(unavailable(which, "is deprecated")),
        Err(error) => Err(invalid_answer(which, error.message())),
    }
}

fn invalid_answer(which: impl std::fmt::Display, why: &str) -> Error {
    let message = format!("The stack registry returned an invalid stack definition for '{which}'.");
    Error::new(Kind::Upstream, message).context(why)
}

impl ResolvedTemplate {
    /// Reads and checks a version that the stack registry sent.
    ///
    /// # Errors
    /// A sentence that describes the fault.
    fn from_received(row: TemplateVersion) -> Result<Self, String> {
        let value: Value = serde_json::from_str(&row.definition).map_err(|error| error.to_string())?;
        let definition = StackDefinition::read(&value).map_err(|faults| {
            let faults: Vec<_> =
                faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
            faults.join("; ")
        })?;
        Ok(Self::new(row, definition))
    }

    /// Reads a stored version, which was checked when it was received.
    ///
    /// # Errors
    /// [`Kind::Internal`] if it is invalid.
    pub(super) fn from_stored(row: TemplateVersion) -> Result<Self> {
        let definition = StackDefinition::from_published(&row.definition)?;
        Ok(Self::new(row, definition))
    }

    fn new(row: TemplateVersion, definition: StackDefinition) -> Self {
        let TemplateVersion { template_name, version, template_id, definition: text } = row;
        Self { template_id, template_name, version, definition, text }
    }

    /// Name of the template and the version.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.template_name, self.version.as_str())
    }

    /// The row to store.
    pub(super) fn row(&self) -> TemplateVersion {
        TemplateVersion {
            template_name: self.template_name.clone(),
            version: self.version.clone(),
            template_id: self.template_id.clone(),
            definition: self.text.clone(),
        }
    }

    /// The features and shared resources of the version.
    pub(super) fn release(&self) -> Release {
        let resources = self.definition.resources();
        let shares = |kind: &ResourceType| match kind {
            ResourceType::D1 => resources.d1,
            ResourceType::R2 => resources.r2,
            ResourceType::Kv => resources.kv,
            ResourceType::Queue => resources.queue,
            ResourceType::Worker | ResourceType::Pages => false,
        };
        Release {
            version: self.version.clone(),
            features: self.definition.features().iter().map(release_feature).collect(),
            shared: SHARABLE.into_iter().filter(shares).collect(),
        }
    }

    /// The templates that the version depends on.
    pub(super) fn dependencies(&self) -> Vec<&Slug> {
        self.definition.depends_on().iter().map(|dependency| dependency.template()).collect()
    }

    /// Rejects the version if a dependency is not among the running versions.
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
        let message = format!(
            "The version depends on {}, but no stack of the platform runs that. Create the stack first.",
            names.join(", ")
        );
        let missing: Vec<Value> = missing
            .into_iter()
            .map(|(template, range)| json!({ "template": template, "versionRange": range }))
            .collect();
        Err(Error::new(Kind::Unprocessable, message).with("missing", missing))
    }

    /// Rejects the version if a service of its features cannot have a valid name in the stack.
    ///
    /// # Errors
    /// [`Kind::Unprocessable`], whose details name the features and the reasons.
    pub(super) fn check_feature_names(&self, scope: &PlatformScope, stack: &StackId) -> Result<()> {
        let reason = |id: &Slug| {
            if id.as_str() == SHARED {
                return Some("is reserved for the resources that a stack's features share".to_owned());
            }
            check_names(scope.id(), stack, id, Environment::Prod).err()
        };
        let features = self.definition.features().iter().filter(|feature| feature.has_service());
        let faults: Vec<_> = features
            .filter_map(|one| Some(json!({ "feature": one.id(), "reason": reason(one.id())? })))
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        let message = "Some features of the version cannot have a service in this stack.";
        Err(Error::new(Kind::Unprocessable, message).with("features", faults))
    }

    /// Checks the inputs for the version on a separate thread, because a check may take up to a second. The caller must
    /// not hold a connection, except to check a row that changed since.
    ///
    /// # Errors
    /// [`Kind::Validation`] with every fault, at `inputs/…`, also when the inputs are too costly to check;
    /// [`Kind::ServiceUnavailable`] when other checks take too long.
    pub(super) async fn check_inputs(&self, platform: &PlatformId, inputs: &Inputs) -> Result<()> {
        let (definition, values) = (self.definition.clone(), Value::Object(inputs.clone()));
        let share = FairKey::alone(platform.as_str());
        let permit = timeout(WAIT, CHECKS.acquire(&share, 1))
            .await
            .map_err(|error| Error::unavailable("The check of inputs", error))?;
        let checked = spawn_blocking(move || {
            let result = stack_definition::check_inputs(&definition, &values);
            // Dropped when the work ends, also when the request was cancelled.
            drop(permit);
            result
        });
        let at = |fault: Fault| Fault::new(format!("inputs{}", fault.path), fault.message);
        checked
            .await
            .map_err(Error::internal)?
            .map_err(|faults| Error::validation(faults.into_iter().map(at).collect()))
    }
}

fn release_feature(feature: &Feature) -> ReleaseFeature {
    ReleaseFeature {
        feature: PlannedFeature {
            feature: feature.id().clone(),
            version: feature.version().clone(),
            package: feature.package().to_owned(),
            has_service: feature.has_service(),
            service_url: None,
        },
        required: feature.is_required(),
    }
}

/// Rejects a change after which another stack would miss a dependency. `after` is the new version of the changed stack;
/// `None` deletes the stack. The transaction has locked the stack, as does one in which a stack begins to depend on it,
/// so one of the two sees the other's change.
///
/// # Errors
/// [`Kind::HasDependents`], whose details name the stacks.
pub(super) async fn check_dependents(
    c: &Conn,
    scope: &PlatformScope,
    changed: &StackRow,
    after: Option<&Version>,
) -> Result<()> {
    let Some(template) = &changed.template_name else { return Ok(()) };
    let others = store::other_stacks(c, scope, &changed.id).await?;
    let with = |version: Option<&Version>| {
        let runs = others.iter().filter(|one| one.is_live).map(|one| &one.template);
        let mut running: Vec<_> = runs.map(|one| (one.template_name.clone(), one.version.clone())).collect();
        running.extend(version.map(|version| (template.clone(), version.clone())));
        running
    };
    let (now, then) = (with(changed.template_version.as_ref()), with(after));
    let broken: Vec<_> = others
        .iter()
        .filter(|one| one.template.dependencies().iter().any(|name| name.as_str() == template))
        .filter(|one| one.template.check_dependencies(&now).is_ok())
        .filter(|one| one.template.check_dependencies(&then).is_err())
        .map(|one| json!({ "id": one.id, "name": one.name }))
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    let message = "Other stacks of the platform depend on this stack.";
    let dependents = json!({ "stacks": broken.len() });
    Err(Error::new(Kind::HasDependents, message).with("dependents", dependents).with("stacks", broken))
}
