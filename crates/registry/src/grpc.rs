//! The registry over gRPC: who may call what, and where each method leads.

use domain::{Error, Result};
use rpc::registry as r;
use rpc::status::to_status;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{App, builds, dns, domains, entities, features, platforms, resources, secrets, stacks};

/// The gRPC service.
pub(crate) const SERVICE: &str = "nno.registry.v1.Registry";

/// Which processes may call which method.
pub(crate) const CALLERS: &[(&str, &[&str])] = &[
    ("CheckSlug", &["onboarding"]),
    ("CheckQuota", &["onboarding"]),
    ("CreatePlatform", &["onboarding"]),
    ("GetPlatform", &["onboarding"]),
    ("TransitionPlatform", &["onboarding"]),
    ("SetRepository", &["onboarding"]),
    ("LocateEntity", &["iam"]),
    ("EnsureTenant", &["onboarding"]),
    ("EnsureStack", &["onboarding"]),
    ("TemplateUsage", &["stack-registry"]),
    ("EnsureResource", &["provisioning"]),
    ("DeleteResource", &["provisioning"]),
    ("ListResources", &["onboarding", "provisioning"]),
    ("MarkSecret", &["provisioning"]),
    ("EnsureDnsRecord", &["provisioning"]),
    ("DeleteDnsRecord", &["provisioning"]),
    ("ClaimDomains", &["provisioning"]),
    ("ReportDomain", &["provisioning"]),
    ("StartBuild", &["onboarding"]),
    ("FinishBuild", &["onboarding"]),
    ("BeginFeatureJob", &["provisioning"]),
    ("EndFeatureJob", &["provisioning"]),
    ("BeginStackJob", &["provisioning"]),
    ("EndStackJob", &["provisioning"]),
    ("GetStack", &["onboarding"]),
    ("ExplainStack", &["onboarding"]),
    ("RemoveStacks", &["onboarding"]),
    ("ClearPlatform", &["provisioning"]),
];

/// Reads an id of a message.
///
/// # Errors
/// [`domain::Kind::Validation`], at `field`.
pub(crate) fn parse_uuid(field: &str, text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|error| Error::invalid(field, "must be a UUID").context(error))
}

/// The server. Each method is the function of its name in the slice of its thing.
#[derive(Debug)]
pub(crate) struct Server(pub(crate) App);

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map(Response::new).map_err(|error| to_status(&error))
}

#[tonic::async_trait]
impl r::registry_server::Registry for Server {
    async fn check_slug(&self, request: Request<r::CheckSlugRequest>) -> Answer<r::CheckSlugResponse> {
        answer(platforms::grpc::check_slug(&self.0, request).await)
    }

    async fn check_quota(&self, request: Request<r::CheckQuotaRequest>) -> Answer<r::CheckQuotaResponse> {
        answer(platforms::grpc::check_quota(&self.0, request).await)
    }

    async fn create_platform(
        &self,
        request: Request<r::CreatePlatformRequest>,
    ) -> Answer<r::CreatePlatformResponse> {
        answer(platforms::grpc::create_platform(&self.0, request).await)
    }

    async fn get_platform(&self, request: Request<r::GetPlatformRequest>) -> Answer<r::GetPlatformResponse> {
        answer(platforms::grpc::get_platform(&self.0, request).await)
    }

    async fn transition_platform(
        &self,
        request: Request<r::TransitionPlatformRequest>,
    ) -> Answer<r::TransitionPlatformResponse> {
        answer(platforms::grpc::transition_platform(&self.0, request).await)
    }

    async fn set_repository(
        &self,
        request: Request<r::SetRepositoryRequest>,
    ) -> Answer<r::SetRepositoryResponse> {
        answer(platforms::grpc::set_repository(&self.0, request).await)
    }

    async fn locate_entity(
        &self,
        request: Request<r::LocateEntityRequest>,
    ) -> Answer<r::LocateEntityResponse> {
        answer(entities::grpc::locate_entity(&self.0, request).await)
    }

    async fn ensure_tenant(
        &self,
        request: Request<r::EnsureTenantRequest>,
    ) -> Answer<r::EnsureTenantResponse> {
        answer(entities::grpc::ensure_tenant(&self.0, request).await)
    }

    async fn ensure_stack(&self, request: Request<r::EnsureStackRequest>) -> Answer<r::EnsureStackResponse> {
        answer(stacks::grpc::ensure_stack(&self.0, request).await)
    }

    async fn template_usage(
        &self,
        request: Request<r::TemplateUsageRequest>,
    ) -> Answer<r::TemplateUsageResponse> {
        answer(stacks::grpc::template_usage(&self.0, request).await)
    }

    async fn ensure_resource(
        &self,
        request: Request<r::EnsureResourceRequest>,
    ) -> Answer<r::EnsureResourceResponse> {
        answer(resources::grpc::ensure_resource(&self.0, request).await)
    }

    async fn delete_resource(
        &self,
        request: Request<r::DeleteResourceRequest>,
    ) -> Answer<r::DeleteResourceResponse> {
        answer(resources::grpc::delete_resource(&self.0, request).await)
    }

    async fn list_resources(
        &self,
        request: Request<r::ListResourcesRequest>,
    ) -> Answer<r::ListResourcesResponse> {
        answer(resources::grpc::list_resources(&self.0, request).await)
    }

    async fn mark_secret(&self, request: Request<r::MarkSecretRequest>) -> Answer<r::MarkSecretResponse> {
        answer(secrets::grpc::mark_secret(&self.0, request).await)
    }

    async fn ensure_dns_record(
        &self,
        request: Request<r::EnsureDnsRecordRequest>,
    ) -> Answer<r::EnsureDnsRecordResponse> {
        answer(dns::grpc::ensure_dns_record(&self.0, request).await)
    }

    async fn delete_dns_record(
        &self,
        request: Request<r::DeleteDnsRecordRequest>,
    ) -> Answer<r::DeleteDnsRecordResponse> {
        answer(dns::grpc::delete_dns_record(&self.0, request).await)
    }

    async fn claim_domains(
        &self,
        request: Request<r::ClaimDomainsRequest>,
    ) -> Answer<r::ClaimDomainsResponse> {
        answer(domains::grpc::claim_domains(&self.0, request).await)
    }

    async fn report_domain(
        &self,
        request: Request<r::ReportDomainRequest>,
    ) -> Answer<r::ReportDomainResponse> {
        answer(domains::grpc::report_domain(&self.0, request).await)
    }

    async fn start_build(&self, request: Request<r::StartBuildRequest>) -> Answer<r::StartBuildResponse> {
        answer(builds::grpc::start_build(&self.0, request).await)
    }

    async fn finish_build(&self, request: Request<r::FinishBuildRequest>) -> Answer<r::FinishBuildResponse> {
        answer(builds::grpc::finish_build(&self.0, request).await)
    }

    async fn begin_feature_job(
        &self,
        request: Request<r::BeginFeatureJobRequest>,
    ) -> Answer<r::BeginFeatureJobResponse> {
        answer(features::grpc::begin_feature_job(&self.0, request).await)
    }

    async fn end_feature_job(
        &self,
        request: Request<r::EndFeatureJobRequest>,
    ) -> Answer<r::EndFeatureJobResponse> {
        answer(features::grpc::end_feature_job(&self.0, request).await)
    }

    async fn begin_stack_job(
        &self,
        request: Request<r::BeginStackJobRequest>,
    ) -> Answer<r::BeginStackJobResponse> {
        answer(stacks::grpc::begin_stack_job(&self.0, request).await)
    }

    async fn end_stack_job(&self, request: Request<r::EndStackJobRequest>) -> Answer<r::EndStackJobResponse> {
        answer(stacks::grpc::end_stack_job(&self.0, request).await)
    }

    async fn get_stack(&self, request: Request<r::GetStackRequest>) -> Answer<r::GetStackResponse> {
        answer(stacks::grpc::get_stack(&self.0, request).await)
    }

    async fn explain_stack(
        &self,
        request: Request<r::ExplainStackRequest>,
    ) -> Answer<r::ExplainStackResponse> {
        answer(stacks::grpc::explain_stack(&self.0, request).await)
    }

    async fn clear_platform(
        &self,
        request: Request<r::ClearPlatformRequest>,
    ) -> Answer<r::ClearPlatformResponse> {
        answer(stacks::grpc::clear_platform(&self.0, request).await)
    }

    async fn remove_stacks(
        &self,
        request: Request<r::RemoveStacksRequest>,
    ) -> Answer<r::RemoveStacksResponse> {
        answer(stacks::grpc::remove_stacks(&self.0, request).await)
    }
}
