//! The gRPC methods, each with its allowed callers and its handler.

use domain::Result;
use rpc::{
    MethodsBuilder, Onboarding,
    onboarding::{ExplainPlatformRequest, ExplainPlatformResponse},
    parse, read_ctx,
};
use tonic::Request;

use crate::{App, onboardings};

/// Declares the methods.
pub(crate) fn methods() -> MethodsBuilder<Onboarding, App> {
    MethodsBuilder::default().method(&["registry"], explain_platform)
}

async fn explain_platform(
    app: &App,
    request: Request<ExplainPlatformRequest>,
) -> Result<ExplainPlatformResponse> {
    let ctx = read_ctx(&request)?;
    let platform = parse("platform_id", &request.get_ref().platform_id)?;
    let explanation = onboardings::explain::explain_platform(app, &ctx, &platform).await?;
    Ok(ExplainPlatformResponse { explanation: Some(explanation.into()) })
}
