//! Explains work that waits for provisioning: first the request for the job, then the job.

use database::outbox::{self, Undelivered};
use domain::{
    JobId, Result,
    explain::{Explanation, Link},
};
use identity::Ctx;
use runtime::clock::rfc3339_seconds as at;

use crate::App;

/// Explains the job requested under an outbox subject. `None` once the job is done.
pub(crate) async fn explain_job(
    app: &App,
    ctx: &Ctx,
    subject: &str,
    id: JobId,
) -> Result<Option<Explanation>> {
    let undelivered = app.db.service_read(async |c| outbox::undelivered(c, subject, id.uuid()).await).await?;
    if let Some(undelivered) = undelivered {
        return Ok(Some(Explanation::new(false, undelivered_request(id, &undelivered))));
    }
    let explanation = rpc::explain::job(&app.provisioning, ctx, &id.to_string()).await;
    let unknown = || {
        let sentence = format!("job {id} was requested, but provisioning does not know it");
        Explanation::new(false, Link::new("job", id, "unknown", sentence))
    };
    Ok(Some(explanation.unwrap_or_else(unknown)).filter(|job| !job.ready))
}

fn undelivered_request(job: JobId, undelivered: &Undelivered) -> Link {
    let Undelivered { first, attempts, next_attempt_at, last_error } = undelivered;
    let subject = if *first == job.uuid() {
        format!("the request for job {job}")
    } else {
        format!("the request for job {job} waits for the delivery of the request for job {first}, which")
    };
    let sentence = match last_error {
        None => format!("{subject} is being delivered to provisioning"),
        Some(error) => {
            let tries = if *attempts == 1 { "1 try".to_owned() } else { format!("{attempts} tries") };
            let next = at(*next_attempt_at);
            format!(
                "{subject} could not be delivered to provisioning in {tries}, and will be retried at {next}: {error}"
            )
        }
    };
    Link::new("request", job, "undelivered", sentence)
}
