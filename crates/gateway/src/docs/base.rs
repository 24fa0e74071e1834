//! The gateway's own part of the document: its general information, and the paths that the gateway serves itself.

use serde_json::{Value, json};
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH};

/// The description of the API.
const DESCRIPTION: &str = "\
All operations of the control plane, with the paths that clients call.

* **Authentication:** `Authorization: Bearer <key or token>`. Objects outside the caller's scope return 404.
* **Errors:** one envelope, `{\"error\": {code, message, requestId, details}}`. Programs should check `code`.
* **Lists:** `limit` and `cursor`, newest first. Each page contains the cursor of the next page.
* **Idempotency:** a repeated write with the same `Idempotency-Key` takes effect once.
* **Concurrency:** send `If-Match` with the `ETag` of a read; if the object has changed since, the response is 412.
* **Dry runs:** `?dryRun=true` runs a write with all its checks and stores nothing.";

/// The groups of operations, in the order of the page.
pub(super) const GROUPS: &[(&str, &str)] = &[
    ("Platforms", "The customers' products and their lifecycle"),
    ("Entities", "Tenants and subtenants"),
    ("Stacks", "Running instances of stack templates"),
    ("Resources", "The infrastructure of a platform"),
    ("Secrets", "The status of secrets, never their values"),
    ("Features", "Feature activations and the manifest of an entity"),
    ("Builds", "The history of builds and deployments"),
    ("DNS", "DNS records"),
    ("Domains", "Custom domains"),
    ("Access", "API keys, role bindings and permission checks"),
    ("Audit", "The history of changes"),
    ("Onboarding", "Creation of a complete platform"),
    ("Stack templates", "The catalogue of stack templates and their versions"),
    ("Jobs", "Work on infrastructure, for operators"),
    ("Aliases", "Operations that are also available at other paths"),
    ("Gateway", "The gateway itself, without a credential"),
];

/// The document without the services.
pub(super) fn document() -> Value {
    let tags: Vec<Value> =
        GROUPS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "NNO API",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This gateway" }],
        "security": [{ "bearer": [] }],
        "tags": tags,
        "paths": paths(),
    })
}

fn paths() -> Value {
    let readiness = json!({
        "type": "object",
        "required": ["status", "checks"],
        "properties": {
            "status": { "type": "string", "enum": ["ready", "not_ready"] },
            "checks": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let health = json!({
        "type": "object",
        "required": ["status"],
        "properties": { "status": { "type": "string", "enum": ["ok"] } },
    });
    let is_json = |description: &str, schema: &Value| json!({ "description": description, "content": { "application/json": { "schema": schema } } });

    let not_modified = json!({ "description": "The client has the current state." });
    let page = json!({ "description": "OK", "content": { "text/html": { "schema": { "type": "string" } } } });
    let public = |id: &str, summary: &str, responses: Value| {
        json!({ "get": {
            "operationId": id, "summary": summary, "tags": ["Gateway"], "security": [], "responses": responses,
        }})
    };
    let schema = || {
        json!({
            "200": is_json("OK", &json!({ "type": "object" })), "304": not_modified,
        })
    };
    json!({
        DEFINITION_SCHEMA_PATH: public("getStackDefinitionSchema", "The format of stack definitions, as JSON Schema.", schema()),
        MANIFEST_SCHEMA_PATH: public("getStackManifestSchema", "The format of stack manifests, as JSON Schema.", schema()),
        "/health": public("health", "Check that the gateway is alive.", json!({ "200": is_json("The gateway is alive.", &health) })),
        "/ready": public("ready", "Check that the gateway and all services can serve requests.", json!({
            "200": is_json("All required checks succeeded.", &readiness), "503": is_json("A required check failed.", &readiness),
        })),
        "/openapi.json": public("getDocument", "This document.", json!({
            "200": is_json("OK", &json!({ "type": "object" })), "304": not_modified,
        })),
        "/docs": public("getDocs", "A page that shows this document.", json!({ "200": page, "304": not_modified })),
    })
}
