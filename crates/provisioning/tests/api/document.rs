//! The committed document, and the committed settings.

use provisioning::{Provisioning, ProvisioningSettings};
use runtime::config;
use serde_json::json;
use service::{Service as _, Settings};

#[test]
fn the_committed_document_is_that_of_the_code() {
    testkit::document::is_committed::<Provisioning>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn the_provider_of_the_tests_cannot_be_chosen() {
    let choose = |provider: &str| {
        let set = json!({ "service": { "provider": provider } });
        config::with_overrides::<Settings<ProvisioningSettings>>(Provisioning::DEFAULTS, set)
    };
    choose("local").unwrap();
    let error = choose("fake").unwrap_err().to_string();
    assert!(error.contains("provider"), "{error}");
}
