//! A scripted stack registry over real gRPC.

use std::{sync::Mutex, time::Duration};

use domain::{Error, Kind, Result, template::TemplateStatus};
use rpc::{
    MethodsBuilder, StackRegistry, enum_number,
    stack_registry::{
        GetTemplateRequest, GetTemplateResponse, GetVersionRequest, GetVersionResponse, Template, Version,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, transport::Server};

/// Definition of a version of `shop`.
pub(crate) fn definition(version: &str) -> String {
    let feature = |id: &str, version: &str, required: bool, service: bool| {
        let package = format!("@shop/{id}");
        json!({
            "id": id, "version": version, "package": package, "required": required, "service": service,
            "permissions": [],
        })
    };
    let mut definition = json!({
        "schemaVersion": 1, "displayName": "Shop",
        "features": [feature("cart", "1.0.0", true, true), feature("theme", "1.0.0", false, false)],
        "resources": { "d1": true, "r2": false, "kv": false, "queue": false },
    });
    match version.split('.').next() {
        Some("2") => {
            let wish = feature("wish", "1.0.0", true, true);
            definition["features"] =
                json!([feature("cart", "2.0.0", true, true), feature("theme", "2.0.0", false, false), wish]);
            definition["resources"]["kv"] = json!(true);
            definition["inputs"] = json!({
                "type": "object", "properties": { "region": { "enum": ["eu", "us"] } },
                "additionalProperties": false,
            });
        }
        Some("3") => {
            definition["features"] = json!([feature("wish", "3.0.0", true, true)]);
            definition["resources"]["d1"] = json!(false);
        }
        Some("4") => definition["dependsOn"] = json!([{ "template": "pay", "versionRange": "^1.2" }]),
        // A feature's service must not have the name of the shared resources.
        Some("5") => definition["features"] = json!([feature("shared", "1.0.0", true, true)]),
        Some("6") => definition["inputs"] = filter_schema(),
        Some("7") => definition["inputs"] = layered_schema(),
        _ => {}
    }
    definition.to_string()
}

/// A recursive filter with overlapping alternatives.
fn filter_schema() -> Value {
    let child = json!({ "$ref": "#/$defs/node" });
    json!({
        "type": "object",
        "$defs": { "node": { "anyOf": [
            { "type": "object", "properties": { "child": child }, "required": ["child"] },
            { "type": "object", "properties": { "child": child, "label": { "type": "string" } }, "required": ["child"] },
            { "type": "string" },
        ] } },
        "properties": { "filter": child },
    })
}

/// Twelve layers, each of which offers the next one eight times.
fn layered_schema() -> Value {
    let mut layers = json!({ "l12": { "type": "string" } });
    for layer in 0..12 {
        let next = json!({ "$ref": format!("#/$defs/l{}", layer + 1) });
        layers[format!("l{layer}")] = json!({ "anyOf": vec![next; 8] });
    }
    json!({ "$defs": layers, "properties": { "filter": { "$ref": "#/$defs/l0" } } })
}

/// An invalid definition.
const INVALID_DEFINITION: &str = r#"{"schemaVersion":1,"displayName":"Shop","features":[{"id":"Cart"}]}"#;

/// Behavior of the stack registry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behavior {
    /// A template `shop` with this status and newest active version.
    Shop(&'static str, Option<&'static str>),
    /// The same template, with a definition that violates its schema.
    InvalidDefinition(&'static str),
    /// A version other than the requested one.
    Other,
    Unknown,
    Failure,
    Nothing,
}

pub(crate) struct Templates {
    url: String,
    answers: std::sync::Arc<Mutex<(Behavior, usize)>>,
}

#[derive(Clone)]
struct Double(std::sync::Arc<Mutex<(Behavior, usize)>>);

impl Templates {
    pub(crate) async fn start(answers: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = std::sync::Arc::new(Mutex::new((answers, 0)));
        let service = MethodsBuilder::<StackRegistry, Double>::default()
            .method(&[], get_template)
            .method(&[], get_version)
            .build(Double(std::sync::Arc::clone(&answers)))
            .unwrap();
        tokio::spawn(
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { url, answers }
    }

    /// Settings of a registry that calls it.
    pub(crate) fn settings(&self) -> Value {
        json!({ "service": { "stack_registry": { "url": self.url } } })
    }

    pub(crate) fn set_behavior(&self, answers: Behavior) {
        self.answers.lock().unwrap().0 = answers;
    }

    /// Returns the number of calls.
    pub(crate) fn calls(&self) -> usize {
        self.answers.lock().unwrap().1
    }
}

async fn get_template(double: &Double, request: Request<GetTemplateRequest>) -> Result<GetTemplateResponse> {
    assert!(request.metadata().get("authorization").is_some(), "services sign their calls");
    let requested = request.into_inner().template;
    let unknown = Error::not_found("template", &requested);
    match double.next() {
        Behavior::Shop(status, version) if requested == "shop" || requested == "t-1" => {
            let latest_version = version.map(|version| version_message(version, definition(version)));
            Ok(GetTemplateResponse { template: Some(shop(status)), latest_version })
        }
        Behavior::InvalidDefinition(version) => Ok(GetTemplateResponse {
            template: Some(shop("active")),
            latest_version: Some(version_message(version, INVALID_DEFINITION.to_owned())),
        }),
        Behavior::Other => Ok(GetTemplateResponse { template: None, latest_version: None }),
        Behavior::Shop(..) | Behavior::Unknown => Err(unknown),
        Behavior::Failure => Err(Error::new(Kind::Internal, "broken")),
        Behavior::Nothing => hang().await,
    }
}

async fn get_version(double: &Double, request: Request<GetVersionRequest>) -> Result<GetVersionResponse> {
    let GetVersionRequest { name, version } = request.into_inner();
    let unknown = Error::not_found("version", &version);
    let version = match double.next() {
        Behavior::Shop(status, _) if name == "shop" && !version.starts_with("9.") => {
            let status = if version.starts_with("8.") { "deprecated" } else { status };
            Version { status: number(status), ..version_message(&version, definition(&version)) }
        }
        Behavior::Shop(..) | Behavior::Unknown => return Err(unknown),
        Behavior::InvalidDefinition(_) => version_message(&version, INVALID_DEFINITION.to_owned()),
        Behavior::Other => version_message("0.0.1", definition("1.0.0")),
        Behavior::Failure => return Err(Error::new(Kind::Internal, "broken")),
        Behavior::Nothing => return hang().await,
    };
    Ok(GetVersionResponse { version: Some(version) })
}

async fn hang<T>() -> Result<T> {
    tokio::time::sleep(Duration::from_secs(60)).await;
    Err(Error::unavailable("The stack registry", "late"))
}

impl Double {
    /// Counts a call and returns the current behavior.
    fn next(&self) -> Behavior {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        state.0
    }
}

/// Number of a status in protobuf.
fn number(status: &str) -> i32 {
    enum_number(TemplateStatus::parse(status).unwrap())
}

fn shop(status: &str) -> Template {
    Template {
        id: "t-1".to_owned(),
        name: "shop".to_owned(),
        display_name: "Shop".to_owned(),
        status: number(status),
    }
}

fn version_message(version: &str, stack_definition: String) -> Version {
    Version {
        id: "v-1".to_owned(),
        template_id: "t-1".to_owned(),
        version: version.to_owned(),
        stack_definition,
        nno_sdk_version: "1.0.0".to_owned(),
        status: enum_number(TemplateStatus::Active),
    }
}
