//! Onboarding over gRPC.

use domain::Result;
use rpc::{
    onboarding::{ExplainPlatformRequest, ExplainPlatformResponse, onboarding_server::Onboarding},
    parse,
};
use rpc::{read_ctx, status::to_status};
use tonic::{Request, Response, Status};

use crate::{App, sessions};

/// The gRPC service.
pub(crate) const SERVICE: &str = "nno.onboarding.v1.Onboarding";

/// Which processes may call which method.
pub(crate) const CALLERS: &[(&str, &[&str])] = &[("ExplainPlatform", &["registry"])];

impl App {
    async fn answer_explain(
        &self,
        request: Request<ExplainPlatformRequest>,
    ) -> Result<ExplainPlatformResponse> {
        let ctx = read_ctx(&request)?;
        let platform = parse("platform_id", &request.get_ref().platform_id)?;
        let explanation = sessions::explain::of_platform(self, &ctx, &platform).await?;
        Ok(ExplainPlatformResponse { explanation: Some(explanation.into()) })
    }
}

#[tonic::async_trait]
impl Onboarding for App {
    async fn explain_platform(
        &self,
        request: Request<ExplainPlatformRequest>,
    ) -> Result<Response<ExplainPlatformResponse>, Status> {
        self.answer_explain(request).await.map(Response::new).map_err(|error| to_status(&error))
    }
}
