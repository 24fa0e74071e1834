//! What is left in the catalogue of a platform whose infrastructure was taken down.

use database::Record;
use domain::{PlatformId, Result, stack::StackEvent};
use identity::{Done, WriteCtx};
use runtime::clock;
use uuid::Uuid;

use super::{model::Stack, store};
use crate::{
    App,
    features::{self, model::ManifestTag},
};

const WHY: &str = "the infrastructure of the platform was taken down";

/// Nothing of the platform runs any more; it may be deleted itself. What a later job has to do with is left as it is.
pub(crate) async fn clear(app: &App, ctx: &WriteCtx, platform: &PlatformId, job: Uuid) -> Result<Done<()>> {
    let scope = ctx.platform(platform)?;
    app.db
        .tx("platform.clear", ctx, async |tx| {
            let c = tx.conn().await?;
            let stacks = store::running_before(c, &scope, job).await?;
            let rows = features::store::running_before(c, &scope, job).await?;
            let (now, mut record) = (clock::now(), Record::default());
            let (mut ended, mut tags, mut ids) = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                let after = row.ended(job)?;
                record = record.and("feature.deactivated", crate::features::AUDIT_TYPE, row.id);
                record = record.of(platform).before(&row).after(&after);
                tags.push(ManifestTag::of(&row));
                ended.push(after);
            }
            for stack in stacks {
                let status = stack.status.after(StackEvent::Fail)?;
                let after = Stack { status, error: Some(WHY.to_owned()), updated_at: now, ..stack.clone() };
                record = record.and("stack.failed", super::AUDIT_TYPE, &stack.id);
                record = record.of(platform).before(&stack).after(&after);
                ids.push(stack.id);
            }
            if ended.is_empty() && ids.is_empty() {
                return Ok(());
            }
            let change = (
                store::clear(ids, WHY.to_owned(), now),
                features::store::put_all(ended),
                features::store::touch_all(tags),
            );
            tx.finish(change, record, (), |_| None).await
        })
        .await
}
