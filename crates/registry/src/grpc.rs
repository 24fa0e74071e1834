//! gRPC interface of the registry: each method with its permitted callers and its handler.

use rpc::{MethodsBuilder, Registry};

use crate::{App, builds, dns, domains, entities, features, platforms, resources, secrets, stacks};

/// Returns all methods.
pub(crate) fn methods() -> MethodsBuilder<Registry, App> {
    MethodsBuilder::default()
        .method(&["onboarding"], platforms::grpc::check_slug)
        .method(&["onboarding"], platforms::grpc::check_quota)
        .method(&["onboarding"], platforms::grpc::create_platform)
        .method(&["onboarding"], platforms::grpc::get_platform)
        .method(&["onboarding"], platforms::grpc::transition_platform)
        .method(&["onboarding"], platforms::grpc::set_repository)
        .method(&["iam"], entities::grpc::locate_entity)
        .method(&["onboarding"], entities::grpc::ensure_tenant)
        .method(&["onboarding"], stacks::grpc::ensure_stack)
        .method(&["stack-registry"], stacks::grpc::template_usage)
        .method(&["provisioning"], resources::grpc::ensure_resource)
        .method(&["provisioning"], resources::grpc::delete_resource)
        .method(&["onboarding", "provisioning"], resources::grpc::list_resources)
        .method(&["provisioning"], secrets::grpc::mark_secret)
        .method(&["provisioning"], dns::grpc::ensure_dns_record)
        .method(&["provisioning"], dns::grpc::delete_dns_record)
        .method(&["provisioning"], domains::grpc::claim_domains)
        .method(&["provisioning"], domains::grpc::report_domain)
        .method(&["onboarding"], builds::grpc::start_build)
        .method(&["onboarding"], builds::grpc::finish_build)
        .method(&["provisioning"], features::grpc::begin_feature_job)
        .method(&["provisioning"], features::grpc::end_feature_job)
        .method(&["provisioning"], stacks::grpc::begin_stack_job)
        .method(&["provisioning"], stacks::grpc::end_stack_job)
        .method(&["onboarding"], stacks::grpc::get_stack)
        .method(&["onboarding"], stacks::grpc::explain_stack)
        .method(&["onboarding"], stacks::grpc::remove_stacks)
        .method(&["provisioning"], stacks::grpc::clear_platform)
}
