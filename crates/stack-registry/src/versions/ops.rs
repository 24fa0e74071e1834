//! Use cases of versions.

use database::{OnConstraint, Record};
use domain::{Error, Kind, Result, Slug, Version, template::TemplateStatus};
use identity::{Done, WriteCtx};
use runtime::clock;

use super::{
    dependencies,
    model::{PublishVersion, StackVersion},
    store,
};
use crate::{App, templates};

/// Publishes a version under an active template.
pub(crate) async fn publish(
    app: &App,
    ctx: &WriteCtx,
    name: &Slug,
    new: PublishVersion,
) -> Result<Done<StackVersion>> {
    app.db
        .tx("stack_version.publish", ctx, async |tx| {
            let c = tx.conn().await?;
            let has_dependencies = !new.depends_on().is_empty();
            if has_dependencies {
                dependencies::lock_graph(c).await?;
            }
            let template = templates::store::lock_for_update(c, name).await?;
            if template.status == TemplateStatus::Deprecated {
                return Err(deprecated(name));
            }
            let faults = match has_dependencies {
                true => dependencies::find_faults(c, name, &new).await?,
                false => Vec::new(),
            };
            if !faults.is_empty() {
                return Err(Error::validation(faults));
            }
            let row = new.clone().into_row(template.id)?;
            let on_constraint = |constraint: &str| {
                (constraint == "stack_versions_version").then(|| already_exists(name, &row.version))
            };
            store::insert(c, &row).await.on_constraint(on_constraint)?;
            let version = StackVersion::from(row);
            let record =
                Record::change("stack_version.published", "stack_version", version.id).after(&version);
            let refresh = store::refresh_latest(template.id, version.created_at);
            tx.finish((refresh,), record, version, |_| None).await
        })
        .await
}

fn deprecated(name: &Slug) -> Error {
    let message = format!("Template '{name}' is deprecated. New versions cannot be published under it.");
    Error::new(Kind::Unprocessable, message).with("name", name)
}

fn already_exists(name: &Slug, version: &Version) -> Error {
    let message = format!("Version {version} of '{name}' is already published. Choose a different version.");
    Error::new(Kind::AlreadyExists, message).with("name", name).with("version", version)
}

/// Deprecates a version. Does nothing if the version is deprecated already.
pub(crate) async fn deprecate(
    app: &App,
    ctx: &WriteCtx,
    name: &Slug,
    version: &Version,
) -> Result<Done<StackVersion>> {
    app.db
        .tx("stack_version.deprecate", ctx, async |tx| {
            let c = tx.conn().await?;
            let template = templates::store::lock_for_update(c, name).await?;
            let before = store::get(c, name, version).await?;
            ctx.check_match(&before)?;
            if before.status == TemplateStatus::Deprecated {
                return Ok(before);
            }
            store::deprecate(c, before.id).await?;
            let after = StackVersion { status: TemplateStatus::Deprecated, ..before.clone() };
            let record = Record::change("stack_version.deprecated", "stack_version", after.id)
                .before(&before)
                .after(&after);
            tx.finish((store::refresh_latest(template.id, clock::now()),), record, after, |_| None).await
        })
        .await
}
