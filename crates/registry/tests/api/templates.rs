//! A stack registry that answers what a test wants, over real gRPC.

use std::{sync::Mutex, time::Duration};

use domain::{Error, Kind};
use rpc::stack_registry::{
    GetTemplateRequest, GetTemplateResponse, GetVersionRequest, GetVersionResponse, Template, Version,
    stack_registry_server::{StackRegistry, StackRegistryServer},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// What every version of `shop` is made of, as far as the registry reads it.
const DEFINITION: &str = r#"{"schemaVersion":1,"features":[
    {"id":"cart","version":"1.0.0","package":"@shop/cart","required":true,"permissions":[]},
    {"id":"theme","version":"1.0.0","package":"@shop/theme","required":false,"service":false,"permissions":[]}]}"#;

/// What it does when it is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answers {
    /// A template `shop` with this status and newest active version.
    Shop(&'static str, Option<&'static str>),
    Unknown,
    Failure,
    Nothing,
}

pub(crate) struct Templates {
    url: String,
    answers: std::sync::Arc<Mutex<(Answers, usize)>>,
}

struct Double(std::sync::Arc<Mutex<(Answers, usize)>>);

impl Templates {
    pub(crate) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = std::sync::Arc::new(Mutex::new((answers, 0)));
        let service = StackRegistryServer::new(Double(std::sync::Arc::clone(&answers)));
        tokio::spawn(
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { url, answers }
    }

    /// Settings of a registry that asks it.
    pub(crate) fn settings(&self) -> Value {
        json!({ "service": { "stack_registry": { "url": self.url } } })
    }

    pub(crate) fn now(&self, answers: Answers) {
        self.answers.lock().unwrap().0 = answers;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.answers.lock().unwrap().1
    }
}

#[tonic::async_trait]
impl StackRegistry for Double {
    async fn get_template(
        &self,
        request: Request<GetTemplateRequest>,
    ) -> Result<Response<GetTemplateResponse>, Status> {
        assert!(request.metadata().get("authorization").is_some(), "a service signs");
        let answers = {
            let mut state = self.0.lock().unwrap();
            state.1 += 1;
            state.0
        };
        let asked = request.into_inner().template;
        let unknown = Error::not_found("template", &asked);
        match answers {
            Answers::Shop(status, version) if asked == "shop" || asked == "t-1" => {
                let text = |text: &str| text.to_owned();
                let template = Template {
                    id: text("t-1"),
                    name: text("shop"),
                    display_name: text("Shop"),
                    status: text(status),
                };
                let version = version.map(|version| Version {
                    id: text("v-1"),
                    template_id: text("t-1"),
                    version: text(version),
                    stack_definition: DEFINITION.to_owned(),
                    nno_sdk_version: text("1.0.0"),
                    status: text("active"),
                });
                Ok(Response::new(GetTemplateResponse { template: Some(template), latest_version: version }))
            }
            Answers::Shop(..) | Answers::Unknown => Err(kit::error::to_status(&unknown)),
            Answers::Failure => Err(kit::error::to_status(&Error::new(Kind::Internal, "broken"))),
            Answers::Nothing => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(Status::unavailable("late"))
            }
        }
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}
