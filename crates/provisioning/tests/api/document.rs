//! The committed OpenAPI document and the default settings.

use provisioning::{Provisioning, ProvisioningSettings};
use runtime::config;
use serde_json::json;
use service::{Service as _, Settings};

#[test]
fn committed_document_matches_the_code() {
    testkit::document::assert_committed::<Provisioning>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn fake_provider_cannot_be_configured() {
    let load = |provider: &str| {
        let set = json!({ "service": { "provider": provider } });
        config::with_overrides::<Settings<ProvisioningSettings>>(Provisioning::DEFAULTS, set)
    };
    load("local").unwrap();
    let error = load("fake").unwrap_err().to_string();
    assert!(error.contains("provider"), "{error}");
}
