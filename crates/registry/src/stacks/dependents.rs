//! Stacks that depend on others of their platform: what their version needs is not taken away from under them.

use database::Conn;
use domain::{Error, Kind, Result, Version};
use identity::PlatformScope;
use serde_json::json;

use super::{model::Stack, store};

/// Refuses a change after which another stack would miss what its version depends on. `after` is the version that the
/// changed stack is to run; none if it goes. The transaction holds the stack, and so does whoever begins to depend on
/// it: one of the two sees the other.
///
/// # Errors
/// [`Kind::HasDependents`], whose details name the stacks.
pub(super) async fn refuse_to_break(
    c: &Conn,
    scope: &PlatformScope,
    changed: &Stack,
    after: Option<&Version>,
) -> Result<()> {
    let Some(template) = &changed.template_name else { return Ok(()) };
    let others = store::others(c, scope, &changed.id).await?;
    let with = |version: Option<&Version>| {
        let runs = others.iter().filter(|one| one.is_live).map(|one| &one.known);
        let mut running: Vec<_> =
            runs.map(|known| (known.template_name.clone(), known.version.clone())).collect();
        running.extend(version.map(|version| (template.clone(), version.clone())));
        running
    };
    let (now, then) = (with(changed.template_version.as_ref()), with(after));
    let broken: Vec<_> = others
        .iter()
        .filter(|one| one.known.dependencies().iter().any(|name| name.as_str() == template))
        .filter(|one| one.known.check_dependencies(&now).is_ok())
        .filter(|one| one.known.check_dependencies(&then).is_err())
        .map(|one| json!({ "id": one.id, "name": one.name }))
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    let message = "Other stacks of the platform depend on what the stack runs";
    let dependents = json!({ "stacks": broken.len() });
    Err(Error::new(Kind::HasDependents, message).with("dependents", dependents).with("stacks", broken))
}
