//! gRPC methods for other services.

use domain::{Error, Kind};
use rpc::{
    PeerCall,
    stack_registry::{
        GetTemplateRequest, GetTemplateResponse, GetVersionRequest, TemplateStatus, Version,
        stack_registry_client::StackRegistryClient,
    },
};
use serde_json::json;

use crate::catalogue::Catalogue;

async fn get_template(catalogue: &Catalogue, template: &str) -> Result<GetTemplateResponse, Error> {
    let peer = catalogue.peer("registry");
    let message = GetTemplateRequest { template: template.to_owned() };
    let request = peer.request(&catalogue.ctx("registry"), PeerCall::default(), message)?;
    peer.unpack(StackRegistryClient::new(peer.channel()).get_template(request).await)
}

async fn get_version(catalogue: &Catalogue, name: &str, version: &str) -> Result<Version, Error> {
    let peer = catalogue.peer("registry");
    let message = GetVersionRequest { name: name.to_owned(), version: version.to_owned() };
    let request = peer.request(&catalogue.ctx("registry"), PeerCall::default(), message)?;
    let response = peer.unpack(StackRegistryClient::new(peer.channel()).get_version(request).await)?;
    Ok(response.version.unwrap())
}

#[tokio::test]
async fn template_is_found_by_id_and_by_name() {
    let catalogue = Catalogue::start().await;
    let id = catalogue.create("shop").await;
    let without = get_template(&catalogue, "shop").await.unwrap();
    assert!(without.latest_version.is_none());

    let version = catalogue.publish("shop", "1.0.0").await;
    catalogue.publish("shop", "2.0.0-rc.1").await;
    let found = get_template(&catalogue, "shop").await.unwrap();
    assert_eq!(found, get_template(&catalogue, &id).await.unwrap());
    let template = found.template.unwrap();
    assert_eq!((template.id.as_str(), template.name.as_str()), (id.as_str(), "shop"));
    assert_eq!((template.display_name.as_str(), template.status()), ("A shop", TemplateStatus::Active));
    let latest = found.latest_version.unwrap();
    assert_eq!((latest.id, latest.version.as_str(), latest.template_id), (version, "1.0.0", id));

    catalogue.patch("/api/v1/stacks/shop", json!({ "status": "deprecated" })).await.expect(200);
    let deprecated = get_template(&catalogue, "shop").await.unwrap();
    assert_eq!(
        deprecated.template.unwrap().status(),
        TemplateStatus::Deprecated,
        "the caller decides what that means"
    );
}

#[tokio::test]
async fn id_has_precedence_over_a_name_that_looks_like_an_id() {
    let catalogue = Catalogue::start().await;
    let id = catalogue.create("shop").await;
    let other = catalogue.create(&id).await;
    let name_of =
        async |id_or_name: &str| get_template(&catalogue, id_or_name).await.unwrap().template.unwrap().name;
    assert_eq!(name_of(&id).await, "shop");
    assert_eq!(name_of(&other).await, id);
    let unknown = uuid::Uuid::now_v7().to_string();
    catalogue.create(&unknown).await;
    assert_eq!(name_of(&unknown).await, unknown);
}

#[tokio::test]
async fn version_equals_the_response_over_http() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    for (status, text) in [(TemplateStatus::Active, "active"), (TemplateStatus::Deprecated, "deprecated")] {
        let over_http = catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200);
        let version = get_version(&catalogue, "shop", "1.0.0").await.unwrap();
        assert_eq!(version.status(), status);
        let version = json!({
            "id": version.id, "template_id": version.template_id, "version": version.version,
            "stack_definition": version.stack_definition, "nno_sdk_version": version.nno_sdk_version,
            "status": text, "published_at": over_http["published_at"], "created_at": over_http["created_at"],
        });
        assert_eq!(version, over_http);
        catalogue.deprecate("shop", "1.0.0").await;
    }
}

#[tokio::test]
async fn unknown_template_and_version_are_not_found() {
    let catalogue = Catalogue::with_shop().await;
    for template in ["gone", "", "No Name", &uuid::Uuid::now_v7().to_string()] {
        let error = get_template(&catalogue, template).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{template}");
    }
    for (name, version) in [("shop", "1.0.0"), ("gone", "1.0.0"), ("shop", "latest"), ("No Name", "1.0.0")] {
        let error = get_version(&catalogue, name, version).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{name}@{version}");
    }
}
