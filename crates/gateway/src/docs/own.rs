//! What the gateway adds to the document: the whole of it, and the paths that it answers itself.

use serde_json::{Value, json};
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH};

/// What the API is, for its readers.
const ABOUT: &str = "\
Every operation of the control plane, under the path that clients call.

* **Who:** `Authorization: Bearer <key or token>`. What lies outside of the caller's scope is 404.
* **Errors:** one envelope, `{\"error\": {code, message, requestId, details}}`. Programs go by `code`.
* **Lists:** `limit` and `cursor`, newest first. The cursor of the next page comes with each page.
* **Once:** a write with an `Idempotency-Key` is done once, however often it is sent.
* **Not over others:** `If-Match` with the `ETag` of a read; 412 when the thing has changed since.
* **Tried:** `?dryRun=true` runs a write with all its checks and keeps nothing of it.";

/// The groups of operations, in the order of the page.
pub(super) const GROUPS: &[(&str, &str)] = &[
    ("Platforms", "The customers' products, and their lives"),
    ("Entities", "Tenants and what is under them"),
    ("Stacks", "Running instances of stack templates"),
    ("Resources", "What was made for a platform"),
    ("Secrets", "What is known of secrets; never a value"),
    ("Features", "Which features an entity runs, and the manifest that tells"),
    ("Builds", "What was built and deployed"),
    ("DNS", "Host names and where they lead"),
    ("Domains", "Host names of the customers' own"),
    ("Access", "API keys, bindings of people to roles, and who may do what"),
    ("Audit", "Who changed what"),
    ("Onboarding", "From a name to an active platform"),
    ("Stack templates", "What stacks are made from, and its versions"),
    ("Jobs", "Work on infrastructure; for operators"),
    ("Aliases", "The same operations at other paths"),
    ("Gateway", "The gateway itself; no key is needed"),
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
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This gateway" }],
        "security": [{ "bearer": [] }],
        "tags": tags,
        "paths": paths(),
    })
}

fn paths() -> Value {
    let probed = json!({
        "type": "object",
        "required": ["status", "checks"],
        "properties": {
            "status": { "type": "string", "enum": ["ready", "not_ready"] },
            "checks": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let alive = json!({
        "type": "object",
        "required": ["status"],
        "properties": { "status": { "type": "string", "enum": ["ok"] } },
    });
    let is_json = |about: &str, schema: &Value| json!({ "description": about, "content": { "application/json": { "schema": schema } } });
    let not_modified = json!({ "description": "The client has it already" });
    let page = json!({ "description": "OK", "content": { "text/html": { "schema": { "type": "string" } } } });
    let open = |id: &str, summary: &str, responses: Value| {
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
        DEFINITION_SCHEMA_PATH: open("getStackDefinitionSchema", "The format of stack definitions, as JSON Schema.", schema()),
        MANIFEST_SCHEMA_PATH: open("getStackManifestSchema", "The format of stack manifests, as JSON Schema.", schema()),
        "/health": open("health", "Is the gateway alive?", json!({ "200": is_json("It is", &alive) })),
        "/ready": open("ready", "Can the gateway and all services do their work?", json!({
            "200": is_json("They can", &probed), "503": is_json("One cannot", &probed),
        })),
        "/openapi.json": open("getDocument", "This document.", json!({
            "200": is_json("OK", &json!({ "type": "object" })), "304": not_modified,
        })),
        "/docs": open("getDocs", "A page to read it.", json!({ "200": page, "304": not_modified })),
    })
}
