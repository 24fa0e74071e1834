//! Features over gRPC.

use domain::{
    Error, Result,
    deployment::{ActivationKey, FeatureJobEnd},
    job::JobType,
};
use rpc::{
    enum_number, parse, parse_enum, parse_optional,
    registry::{
        BeginFeatureJobRequest, BeginFeatureJobResponse, EndFeatureJobRequest, EndFeatureJobResponse,
        FeatureJob as FeatureJobMessage,
    },
    required, write_ctx,
};
use tonic::Request;

use super::report::{self, Job};
use crate::App;

fn read(message: Option<FeatureJobMessage>) -> Result<Job> {
    let message = required("job", message)?;
    let key = ActivationKey {
        platform: parse("job.platform_id", &message.platform_id)?,
        entity: parse("job.entity_id", &message.entity_id)?,
        feature: parse("job.feature_id", &message.feature_id)?,
        environment: parse_enum("job.environment", message.environment)?,
    };
    let version = match parse_enum("job.type", message.r#type)? {
        JobType::ActivateFeature => {
            let version = required("job.feature_version", message.feature_version.as_deref())?;
            Some(parse("job.feature_version", version)?)
        }
        JobType::DeactivateFeature => None,
        _ => return Err(Error::invalid("job.type", "must be the type of a feature job")),
    };
    Ok(Job { id: parse("job.job_id", &message.job_id)?, key, version })
}

pub(crate) async fn begin_feature_job(
    app: &App,
    request: Request<BeginFeatureJobRequest>,
) -> Result<BeginFeatureJobResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let job = read(message.job)?;
    let input = match message.waits {
        true => report::wait(app, &ctx, &job).await?,
        false => report::begin(app, &ctx, &job).await?.value,
    };
    Ok(BeginFeatureJobResponse {
        superseded: input.superseded,
        stack_id: input.stack.map(|stack| stack.to_string()).unwrap_or_default(),
        owner_id: input.owner,
        has_service: input.has_service,
        version: input.version.map(|version| version.to_string()),
        version_before: input.version_before.map(|version| version.to_string()),
        has_data: input.has_data,
        shares_data: input.shares_data,
        own_version_before: input.own_version_before.map(|version| version.to_string()),
        shared: input.shared.into_iter().map(enum_number).collect(),
    })
}

pub(crate) async fn end_feature_job(
    app: &App,
    request: Request<EndFeatureJobRequest>,
) -> Result<EndFeatureJobResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let job = read(message.job)?;
    let end = FeatureJobEnd {
        job: job.id,
        kind: job.kind(),
        error: message.error,
        service_url: message.service_url,
        deleted_data: message.gives_up_data,
        version_before: parse_optional("own_version_before", message.own_version_before.as_deref())?,
    };
    report::end(app, &ctx, &job, &end, message.cf_deployment_id.as_deref()).await?;
    Ok(EndFeatureJobResponse {})
}
