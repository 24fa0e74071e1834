//! What can be done with secrets.

use database::Record;
use domain::{Error, PlatformId, Result, SecretName, resource::SecretStatus};
use identity::{Done, WriteCtx};
use uuid::Uuid;

use super::{
    model::{Marked, Secret},
    store,
};
use crate::{App, platforms, resources};

/// Says what is known of a secret.
pub(crate) async fn mark(
    app: &App,
    ctx: &WriteCtx,
    platform: &PlatformId,
    resource: Uuid,
    name: &SecretName,
    status: SecretStatus,
) -> Result<Done<Marked>> {
    let scope = ctx.platform(platform)?;
    app.db
        .tx("secret.mark", ctx, async |tx| {
            let c = tx.conn().await?;
            platforms::ops::hold(c, ctx, &scope).await?;
            if resources::store::hold(c, &scope, resource).await?.is_none() {
                return Err(Error::not_found("resource", resource));
            }
            let before = store::lock(c, &scope, resource, name).await?;
            let record = |secret: &Secret| {
                Record::change("secret.marked", super::AUDIT_TYPE, secret.id).of(platform).after(secret)
            };
            match before {
                Some(before) => {
                    ctx.check_match(&before)?;
                    let secret = before.marked(status);
                    let record = record(&secret).before(&before);
                    let marked = Marked { secret: secret.clone(), new: false };
                    tx.finish((store::update(secret),), record, marked, |_| None).await
                }
                None => {
                    let secret = Secret::new(platform, resource, name.clone(), status);
                    let record = record(&secret);
                    let marked = Marked { secret: secret.clone(), new: true };
                    // One that is marked beside this one is found by the next run.
                    let met =
                        |name: &str| (name == "secrets_name").then(|| Error::met("marked at the same time"));
                    tx.finish((store::insert(secret),), record, marked, met).await
                }
            }
        })
        .await
}
