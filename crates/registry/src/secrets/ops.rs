//! What can be done with secrets.

use database::Record;
use domain::{Error, ResourceId, Result, SecretName, resource::SecretStatus};
use identity::{Done, PlatformScope, WriteCtx};

use super::{
    model::SecretRow,
    store,
    view::{Marked, Secret},
};
use crate::{App, parents, platforms};

/// Says what is known of a secret.
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
            platforms::ops::hold(c, ctx, scope).await?;
            if parents::lock_resource(c, scope, resource).await?.is_none() {
                return Err(Error::not_found("resource", resource));
            }
            let before = store::lock(c, scope, resource, name).await?;
            let record = |secret: &Secret| {
                Record::change("secret.marked", super::AUDIT_TYPE, secret.id).of(scope.id()).after(secret)
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
                    // One that is marked beside this one is found by the next run.
                    let met = |name: &str| {
                        (name == "secrets_name").then(|| Error::concurrent_write("marked at the same time"))
                    };
                    tx.finish((store::insert(row),), record, Marked { secret, new: true }, met).await
                }
            }
        })
        .await
}
