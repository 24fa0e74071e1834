//! The stack registry over gRPC: who may call what, and where each method leads.

use database::Conn;
use domain::{Error, Result, Slug, Version};
use rpc::stack_registry::{
    self as messages, GetTemplateRequest, GetTemplateResponse, GetVersionRequest, GetVersionResponse,
    stack_registry_server::{StackRegistry, StackRegistryServer},
};
use rpc::status::to_status;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    App,
    templates::{
        self,
        model::{Template, TemplateDetail},
    },
    versions::{self, model::StackVersion},
};

/// The gRPC service.
pub(crate) const SERVICE: &str = "nno.stack_registry.v1.StackRegistry";

/// Which processes may call which method.
pub(crate) const CALLERS: &[(&str, &[&str])] =
    &[("GetTemplate", &["registry"]), ("GetVersion", &["registry"])];

/// The server of the methods.
pub(crate) fn server(app: App) -> StackRegistryServer<Methods> {
    StackRegistryServer::new(Methods(app))
}

pub(crate) struct Methods(App);

#[tonic::async_trait]
impl StackRegistry for Methods {
    async fn get_template(
        &self,
        request: Request<GetTemplateRequest>,
    ) -> Result<Response<GetTemplateResponse>, Status> {
        let asked = &request.get_ref().template;
        let found = self.0.db.own_read(async |c| by_id_or_name(c, asked).await).await;
        found.map(|detail| Response::new(detail.into())).map_err(|error| to_status(&error))
    }

    async fn get_version(
        &self,
        request: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        let GetVersionRequest { name, version } = request.get_ref();
        let found = self.0.db.own_read(async |c| by_name_and_version(c, name, version).await).await;
        found
            .map(|version| Response::new(GetVersionResponse { version: Some(version.into()) }))
            .map_err(|error| to_status(&error))
    }
}

/// A name may look like an id, so an id is looked for first: it is what machines ask by.
async fn by_id_or_name(c: &Conn, asked: &str) -> Result<TemplateDetail> {
    let named = match Uuid::parse_str(asked) {
        Ok(id) => templates::store::name_of(c, id).await?,
        Err(_not_an_id) => None,
    };
    // What can be no name either names nothing that exists.
    let name = named.map_or_else(|| Slug::parse(asked), Ok);
    templates::store::detail(c, &name.map_err(|why| Error::not_found("stack template", asked).context(why))?)
        .await
}

async fn by_name_and_version(c: &Conn, name: &str, version: &str) -> Result<StackVersion> {
    let none = |why: String| Error::not_found("stack version", format_args!("{name}@{version}")).context(why);
    let (name, version) = (Slug::parse(name).map_err(none)?, Version::parse(version).map_err(none)?);
    versions::store::get(c, &name, &version).await
}

impl From<TemplateDetail> for GetTemplateResponse {
    fn from(detail: TemplateDetail) -> Self {
        let Template { id, name, display_name, status, .. } = detail.template;
        let template = messages::Template {
            id: id.to_string(),
            name: name.to_string(),
            display_name,
            status: status.to_string(),
        };
        Self { template: Some(template), latest_version: detail.latest_version.map(messages::Version::from) }
    }
}

impl From<StackVersion> for messages::Version {
    fn from(row: StackVersion) -> Self {
        Self {
            id: row.id.to_string(),
            template_id: row.template_id.to_string(),
            version: row.version.to_string(),
            stack_definition: row.stack_definition,
            nno_sdk_version: row.nno_sdk_version.to_string(),
            status: row.status.to_string(),
        }
    }
}
