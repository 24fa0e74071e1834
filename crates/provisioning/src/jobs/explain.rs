//! Explanations why a job is not completed.

use domain::{Kind, Result, explain::Explanation};
use identity::Ctx;
use saga::{SagaWithSteps, api};
use uuid::Uuid;

use super::model::Job;
use crate::App;

/// Maximum length of the explained chain of jobs that wait for each other. The chain is as long as the queue of jobs
/// for one object.
const MAX_CHAIN: usize = 8;

/// Explains why a job is not completed: the reason, or the chain of jobs that it waits for.
pub(crate) async fn explain(app: &App, ctx: &Ctx, id: Uuid) -> Result<Explanation> {
    let job = api::find::<Job>(&app.db, ctx, id).await?;
    let (mut explanation, mut next) = (job.explain(), waits_for(&job.record));
    for _ in 1..MAX_CHAIN {
        let Some(id) = next else { break };
        match api::find::<Job>(&app.db, ctx, id).await {
            Ok(job) if job.record.saga.status.is_in_progress() => {
                (explanation, next) = (explanation.caused_by(job.explain()), waits_for(&job.record));
            }
            // The job has ended meanwhile.
            Ok(_) => break,
            Err(error) if error.kind() == Kind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(explanation)
}

fn waits_for(saga: &SagaWithSteps) -> Option<Uuid> {
    if saga.saga.paused_at.is_some() {
        return None;
    }
    saga.blocking_step()?.waiting_for.as_ref()?.saga()
}
