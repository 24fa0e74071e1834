//! Why a job is not done.

use domain::{Kind, Result, explain::Explanation};
use identity::Ctx;
use saga::{SagaWithSteps, api};
use uuid::Uuid;

use super::model::Job;
use crate::App;

/// Jobs that wait for each other's turn, told one after the other. The chain is as long as people ask for more of one
/// thing while it is being worked on.
const MOST: usize = 8;

/// Why a job is not done: what holds it up, or the job that it waits for.
pub(crate) async fn of(app: &App, ctx: &Ctx, id: Uuid) -> Result<Explanation> {
    let job = api::find::<Job>(&app.db, ctx, id).await?;
    let (mut whole, mut next) = (job.explain(), waits_for(&job.record));
    for _ in 1..MOST {
        let Some(id) = next else { break };
        match api::find::<Job>(&app.db, ctx, id).await {
            Ok(job) if job.record.saga.status.is_in_progress() => {
                (whole, next) = (whole.caused_by(job.explain()), waits_for(&job.record));
            }
            // It has had its turn since.
            Ok(_) => break,
            Err(error) if error.kind() == Kind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

fn waits_for(saga: &SagaWithSteps) -> Option<Uuid> {
    if saga.saga.paused_at.is_some() {
        return None;
    }
    saga.blocking_step()?.waiting_for.as_ref()?.saga()
}
