//! Onboarding over gRPC: each method with who may call it and what handles it.

use domain::Result;
use rpc::{
    MethodsBuilder, Onboarding,
    onboarding::{ExplainPlatformRequest, ExplainPlatformResponse},
    parse, read_ctx,
};
use tonic::Request;

use crate::{App, sessions};

/// The methods.
pub(crate) fn methods() -> MethodsBuilder<Onboarding, App> {
    MethodsBuilder::default().method(&["registry"], explain_platform)
}

async fn explain_platform(
    app: &App,
    request: Request<ExplainPlatformRequest>,
) -> Result<ExplainPlatformResponse> {
    let ctx = read_ctx(&request)?;
    let platform = parse("platform_id", &request.get_ref().platform_id)?;
    let explanation = sessions::explain::of_platform(app, &ctx, &platform).await?;
    Ok(ExplainPlatformResponse { explanation: Some(explanation.into()) })
}
