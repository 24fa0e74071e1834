//! The table: every operation of the API, with the least role that may do it and what it is about.
//!
//! It is the source for the services' entries, for `security` in the OpenAPI documents, for `docs/access.md`, and for
//! the tests that try every operation as everyone. An operation that is not here is refused.

use super::{
    About::{Caller, Entity, Everything, Platform},
    Operation,
    Role::{Developer, Operator, PlatformAdmin, Viewer},
};

const fn row(id: &'static str, least: super::Role, about: super::About) -> Operation {
    Operation { id, least, about }
}

/// Every operation.
pub const OPERATIONS: &[Operation] = &[
    // Platforms. Who sees none is answered an empty list.
    row("listPlatforms", Viewer, Caller),
    row("createPlatform", Operator, Everything),
    row("getPlatform", Viewer, Platform),
    row("explainPlatform", Viewer, Platform),
    row("updatePlatform", PlatformAdmin, Platform),
    row("deletePlatform", Operator, Platform),
    row("suspendPlatform", PlatformAdmin, Platform),
    row("restorePlatform", PlatformAdmin, Platform),
    row("cancelPlatform", PlatformAdmin, Platform),
    row("deprovisionPlatform", PlatformAdmin, Platform),
    row("listLifecycleEvents", Viewer, Platform),
    // Entities.
    row("listEntities", Viewer, Entity),
    row("createEntity", Developer, Entity),
    row("getEntity", Viewer, Entity),
    row("updateEntity", Developer, Entity),
    row("deleteEntity", Developer, Entity),
    row("getEntityAncestors", Viewer, Entity),
    row("getEntityDescendants", Viewer, Entity),
    // Workspace stacks.
    row("listStacks", Viewer, Entity),
    row("createStack", Developer, Entity),
    row("getStack", Viewer, Entity),
    row("explainStack", Viewer, Entity),
    row("upgradeStack", Developer, Entity),
    row("rollbackStack", Developer, Entity),
    row("deleteStack", Developer, Entity),
    // Resources and what is known of their secrets.
    row("lookupResource", Viewer, Caller),
    row("listResources", Viewer, Entity),
    row("listEntityResources", Viewer, Entity),
    row("registerResource", Developer, Entity),
    row("getResource", Viewer, Entity),
    row("updateResource", Developer, Entity),
    row("deleteResource", Developer, Entity),
    row("listSecrets", Viewer, Entity),
    row("markSecret", Developer, Entity),
    // Features and the manifest.
    row("listFeatures", Viewer, Entity),
    row("getFeature", Viewer, Entity),
    row("explainFeature", Viewer, Entity),
    row("activateFeature", Developer, Entity),
    row("deactivateFeature", Developer, Entity),
    row("getManifest", Viewer, Entity),
    // Builds are the platform's.
    row("listBuilds", Viewer, Platform),
    row("getLatestBuild", Viewer, Platform),
    row("updateBuild", Developer, Platform),
    // Host names belong to who owns the resource that they lead to.
    row("listDnsRecords", Viewer, Entity),
    row("createDnsRecord", Developer, Entity),
    row("getDnsRecord", Viewer, Entity),
    row("getDnsRecordOfStack", Viewer, Entity),
    row("deleteDnsRecord", Developer, Entity),
    row("listDomains", Viewer, Entity),
    row("createDomain", Developer, Entity),
    row("updateDomain", Developer, Entity),
    row("deleteDomain", Developer, Entity),
    row("explainDomain", Viewer, Entity),
    row("listPendingDomains", Operator, Everything),
    // What happened.
    row("listPlatformAudit", Viewer, Platform),
    row("listAudit", Operator, Everything),
    // The catalogue of stack templates is nobody's: whoever is known may read it.
    row("listStackTemplates", Viewer, Caller),
    row("getStackTemplate", Viewer, Caller),
    row("listStackVersions", Viewer, Caller),
    row("getStackVersion", Viewer, Caller),
    row("createStackTemplate", Operator, Everything),
    row("updateStackTemplate", Operator, Everything),
    row("publishStackVersion", Operator, Everything),
    row("deprecateStackVersion", Operator, Everything),
    row("getStackTemplateUsage", Operator, Everything),
    // Onboardings: a person's own, and for operators all of them.
    row("createOnboarding", Viewer, Caller),
    row("getOnboarding", Viewer, Caller),
    row("updateOnboarding", Viewer, Caller),
    row("followOnboarding", Viewer, Caller),
    row("explainOnboarding", Operator, Everything),
    row("listOnboardings", Operator, Everything),
    row("pauseOnboarding", Operator, Everything),
    row("resumeOnboarding", Operator, Everything),
    row("discardOnboarding", Operator, Everything),
    // Jobs.
    row("queuePlatformProvisioning", Operator, Everything),
    row("queuePlatformDeprovisioning", Operator, Everything),
    row("queueFeatureActivation", Operator, Everything),
    row("queueFeatureDeactivation", Operator, Everything),
    row("activate_stack", Operator, Everything),
    row("deactivate_stack", Operator, Everything),
    row("listJobs", Operator, Everything),
    row("getJob", Operator, Everything),
    row("followJob", Operator, Everything),
    row("explainJob", Operator, Everything),
    row("retryJob", Operator, Everything),
    row("cancelJob", Operator, Everything),
    row("pauseJob", Operator, Everything),
    row("resumeJob", Operator, Everything),
    row("discardJob", Operator, Everything),
    // Access itself. Keys and bindings are listed, made and revoked within what the caller administers.
    row("createKey", PlatformAdmin, Caller),
    row("listKeys", PlatformAdmin, Caller),
    row("revokeKey", PlatformAdmin, Caller),
    row("createBinding", PlatformAdmin, Caller),
    row("listBindings", PlatformAdmin, Caller),
    row("deleteBinding", PlatformAdmin, Caller),
    row("whoami", Viewer, Caller),
    row("can", Viewer, Caller),
    row("listAccessAudit", Operator, Everything),
];
