//! Delivery of the registry's outbox to other services.

use std::sync::Arc;

use async_trait::async_trait;
use database::{
    Record,
    outbox::{Deliver, Event},
};
use domain::{Error, JobId, PlatformId, Result, job::JobType};
use identity::Ctx;
use rpc::{Client, Provisioning, enum_number, parse, provisioning::EnqueueJobRequest};
use serde::Deserialize;
use serde_json::{Value, json};

/// Delivers job requests to provisioning.
pub(crate) struct ProvisioningDelivery(Client<Provisioning>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    r#type: String,
    platform_id: String,
    input: Value,
}

/// Adds the request for a provisioning job to a record. The outbox delivers the requests of one subject in order.
pub(crate) fn request_job(
    record: Record,
    (kind, job): (JobType, JobId),
    platform: &PlatformId,
    subject: impl ToString,
    input: &Value,
) -> Record {
    let data = json!({ "type": kind, "platformId": platform, "input": input });
    record.command("provisioning", "provisioning.job", job.uuid(), subject, data)
}

impl ProvisioningDelivery {
    /// Returns the destination name of the events, and their delivery.
    pub(crate) fn destination(provisioning: Client<Provisioning>) -> (&'static str, Arc<dyn Deliver>) {
        (provisioning.peer().name(), Arc::new(Self(provisioning)))
    }
}

#[async_trait]
impl Deliver for ProvisioningDelivery {
    async fn deliver(&self, ctx: &Ctx, event: &Event) -> Result<()> {
        let job: Job = serde_json::from_value(event.data.clone()).map_err(Error::internal)?;
        // The event's id is the job's id, so a second delivery finds the job.
        let message = EnqueueJobRequest {
            job_id: event.id.to_string(),
            r#type: enum_number(parse::<JobType>("type", &job.r#type)?),
            platform_id: job.platform_id,
            input: job.input.to_string(),
            flow: String::new(),
        };
        self.0.call(ctx, message).await?;
        Ok(())
    }
}
