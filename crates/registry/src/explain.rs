//! What a thing waits for that provisioning does: the request for its job, then the job.

use database::outbox::{self, Undelivered};
use domain::{
    JobId, Result,
    explain::{Explanation, Link},
};
use identity::Ctx;
use runtime::clock::rfc3339_seconds as at;

use crate::App;

/// What there is to say of the job that was asked for under this subject of the outbox; nothing when it is done.
pub(crate) async fn job(app: &App, ctx: &Ctx, subject: &str, id: JobId) -> Result<Option<Explanation>> {
    let held_up = app.db.own_read(async |c| outbox::undelivered(c, subject, id.uuid()).await).await?;
    if let Some(held_up) = held_up {
        return Ok(Some(Explanation::new(false, request(id, &held_up))));
    }
    let told = rpc::explain::job(&app.provisioning, ctx, &id.to_string()).await;
    let unknown = || {
        let says = format!("provisioning was asked for job {id}, and knows nothing of it");
        Explanation::new(false, Link::new("job", id, "unknown", says))
    };
    Ok(Some(told.unwrap_or_else(unknown)).filter(|job| !job.ready))
}

fn request(job: JobId, held_up: &Undelivered) -> Link {
    let Undelivered { first, attempts, next_attempt_at, last_error } = held_up;
    let what = if *first == job.uuid() {
        format!("the request for job {job}")
    } else {
        format!("the request for job {job} waits until that for job {first} is delivered, which")
    };
    let says = match last_error {
        None => format!("{what} is being delivered to provisioning"),
        Some(error) => {
            let tries = if *attempts == 1 { "1 try".to_owned() } else { format!("{attempts} tries") };
            let next = at(*next_attempt_at);
            format!("{what} could not be delivered to provisioning in {tries}, the next at {next}: {error}")
        }
    };
    Link::new("request", job, "undelivered", says)
}
