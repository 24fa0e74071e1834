//! gRPC methods of the stack registry, each with its allowed callers and its handler.

use database::Conn;
use domain::{Error, Result, Slug, Version};
use rpc::{
    MethodsBuilder, StackRegistry, enum_number,
    stack_registry::{
        self as messages, GetTemplateRequest, GetTemplateResponse, GetVersionRequest, GetVersionResponse,
    },
};
use tonic::Request;
use uuid::Uuid;

use crate::{
    App,
    templates::{
        self,
        model::{Template, TemplateDetail},
    },
    versions::{self, model::StackVersion},
};

/// The methods of the service.
pub(crate) fn methods() -> MethodsBuilder<StackRegistry, App> {
    MethodsBuilder::default().method(&["registry"], get_template).method(&["registry"], get_version)
}

async fn get_template(app: &App, request: Request<GetTemplateRequest>) -> Result<GetTemplateResponse> {
    let template = &request.get_ref().template;
    app.db.service_read(async |c| by_id_or_name(c, template).await).await.map(Into::into)
}

async fn get_version(app: &App, request: Request<GetVersionRequest>) -> Result<GetVersionResponse> {
    let GetVersionRequest { name, version } = request.get_ref();
    let found = app.db.service_read(async |c| by_name_and_version(c, name, version).await).await?;
    Ok(GetVersionResponse { version: Some(found.into()) })
}

/// Finds a template by its id or name. Services send ids, so the id has precedence over a name that looks like an id.
async fn by_id_or_name(c: &Conn, id_or_name: &str) -> Result<TemplateDetail> {
    let by_id = match Uuid::parse_str(id_or_name) {
        Ok(id) => templates::store::name_of(c, id).await?,
        Err(_not_an_id) => None,
    };
    // A text that is not a valid name matches no template.
    let not_found = |why: String| Error::not_found("stack template", id_or_name).context(why);
    let name = by_id.map_or_else(|| Slug::parse(id_or_name), Ok).map_err(not_found)?;
    templates::store::detail(c, &name).await
}

async fn by_name_and_version(c: &Conn, name: &str, version: &str) -> Result<StackVersion> {
    let not_found =
        |why: String| Error::not_found("stack version", format_args!("{name}@{version}")).context(why);
    let (name, version) =
        (Slug::parse(name).map_err(not_found)?, Version::parse(version).map_err(not_found)?);
    versions::store::get(c, &name, &version).await
}

impl From<TemplateDetail> for GetTemplateResponse {
    fn from(detail: TemplateDetail) -> Self {
        let Template { id, name, display_name, status, .. } = detail.template;
        let template = messages::Template {
            id: id.to_string(),
            name: name.to_string(),
            display_name,
            status: enum_number(status),
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
            status: enum_number(row.status),
        }
    }
}
