//! Why a job is not done.

use domain::{
    Kind, Result,
    explain::{Explanation, Link},
    job::JobStatus,
};
use identity::Ctx;
use runtime::clock;
use saga::Told;
use uuid::Uuid;

use crate::App;

/// Jobs that wait for each other's turn, told one after the other. The chain is as long as people ask for more of one
/// thing while it is being worked on.
const MOST: usize = 8;

/// Why a job is not done: what holds it up, or the job that it waits for.
pub(crate) async fn of(app: &App, ctx: &Ctx, id: Uuid) -> Result<Explanation> {
    let told = read(app, ctx, id).await?;
    let (mut whole, mut next) = (explained(&told), waits_for(&told));
    for _ in 1..MOST {
        let Some(id) = next else { break };
        match read(app, ctx, id).await {
            Ok(job) if job.saga.status.is_live() => {
                (whole, next) = (whole.under(explained(&job)), waits_for(&job));
            }
            // It has had its turn since.
            Ok(_) => break,
            Err(error) if error.kind() == Kind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

async fn read(app: &App, ctx: &Ctx, id: Uuid) -> Result<Told> {
    app.db.read(ctx, async |c| saga::by_id(c, "job", id).await).await
}

fn explained(told: &Told) -> Explanation {
    let status = JobStatus::from(told.saga.status);
    let link = Link::new("job", told.saga.id, status, told.says(clock::now()));
    Explanation::of(status == JobStatus::Completed, link)
}

fn waits_for(told: &Told) -> Option<Uuid> {
    if told.saga.paused_at.is_some() {
        return None;
    }
    told.step()?.waiting_for.as_ref()?.saga()
}
