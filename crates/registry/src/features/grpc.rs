//! Features over gRPC.

use domain::{Error, Result, job::JobType};
use rpc::{
    parse, parse_optional, parse_uuid,
    registry::{
        BeginFeatureJobRequest, BeginFeatureJobResponse, EndFeatureJobRequest, EndFeatureJobResponse,
        FeatureJob as Said,
    },
    required, write_ctx,
};
use tonic::Request;

use super::{
    model::Place,
    report::{self, Job, Outcome},
};
use crate::App;

fn read(said: Option<Said>) -> Result<Job> {
    let said = required("job", said)?;
    let place = Place {
        platform: parse("job.platform_id", &said.platform_id)?,
        entity: parse("job.entity_id", &said.entity_id)?,
        feature: parse("job.feature_id", &said.feature_id)?,
        environment: parse("job.environment", &said.environment)?,
    };
    let version = match parse("job.type", &said.r#type)? {
        JobType::ActivateFeature => {
            let version = required("job.feature_version", said.feature_version.as_deref())?;
            Some(parse("job.feature_version", version)?)
        }
        JobType::DeactivateFeature => None,
        _ => return Err(Error::invalid("job.type", "must be of a job for features")),
    };
    Ok(Job { id: parse_uuid("job.job_id", &said.job_id)?, place, version })
}

pub(crate) async fn begin_feature_job(
    app: &App,
    request: Request<BeginFeatureJobRequest>,
) -> Result<BeginFeatureJobResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let job = read(asked.job)?;
    let begun = match asked.waits {
        true => report::wait(app, &ctx, &job).await?,
        false => report::begin(app, &ctx, &job).await?.value,
    };
    Ok(BeginFeatureJobResponse {
        superseded: begun.superseded,
        stack_id: begun.stack.map(|stack| stack.to_string()).unwrap_or_default(),
        owner_id: begun.owner,
        has_service: begun.has_service,
        version: begun.version.map(|version| version.to_string()),
        version_before: begun.version_before.map(|version| version.to_string()),
        has_data: begun.has_data,
        shares_data: begun.shares_data,
        own_version_before: begun.own_version_before.map(|version| version.to_string()),
        shared: begun.shared,
    })
}

pub(crate) async fn end_feature_job(
    app: &App,
    request: Request<EndFeatureJobRequest>,
) -> Result<EndFeatureJobResponse> {
    let ctx = write_ctx(&request)?;
    let said = request.into_inner();
    let job = read(said.job)?;
    let outcome = Outcome {
        error: said.error,
        service_url: said.service_url,
        deployment: said.cf_deployment_id,
        gives_up_data: said.gives_up_data,
        own_version_before: parse_optional("own_version_before", said.own_version_before.as_deref())?,
    };
    report::end(app, &ctx, &job, &outcome).await?;
    Ok(EndFeatureJobResponse {})
}
