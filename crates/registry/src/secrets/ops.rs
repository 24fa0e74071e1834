//! Use cases of secrets. Each is one transaction.

use database::Record;
use domain::{Error, ResourceId, Result, SecretName, resource::SecretStatus};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    model::SecretRow,
    store,
    view::{Marked, Secret},
};
use crate::{App, parents, platforms};

/// Sets the status of a secret.
pub(crate) async fn mark(
    app: &App,
    ctx: &WriteCtx,
    scope: &PlatformScope,
    resource: ResourceId,
    name: &SecretName,
    status: SecretStatus,
) -> Result<Done<Marked>> {
    app.db
        .tx("secret.mark", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::lock_shared(c, ctx, scope).await?;
            if parents::lock_resource(c, scope, resource).await?.is_none() {
                return Err(Error::not_found("resource", resource));
            }
            let before = store::lock_for_update(c, scope, resource, name).await?;
            let record = |secret: &Secret| {
                Record::change("secret.marked", super::AUDIT_TYPE, secret.id)
                    .in_platform(scope.id())
                    .after(secret)
            };
            match before {
                Some(before) => {
                    let seen = Secret::from(&before);
                    ctx.check_match(&seen)?;
                    let row = before.marked(status);
                    let secret = Secret::from(&row);
                    let record = record(&secret).before(&seen);
                    tx.finish((store::update(row),), record, Marked { secret, new: false }, |_| None).await
                }
                None => {
                    let row = SecretRow::new(scope.id(), resource, name.clone(), status);
                    let secret = Secret::from(&row);
                    let record = record(&secret);
                    // The next run finds the secret that a concurrent request marked.
                    let on_constraint = |name: &str| {
                        (name == "secrets_name").then(|| {
                            Error::concurrent_write("another request marked the secret at the same time")
                        })
                    };
                    tx.finish((store::insert(row),), record, Marked { secret, new: true }, on_constraint)
                        .await
                }
            }
        })
        .await
}
