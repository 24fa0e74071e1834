//! The stack registry over gRPC: each method with who may call it and what handles it.

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

/// The methods.
pub(crate) fn methods() -> MethodsBuilder<StackRegistry, App> {
    MethodsBuilder::default().method(&["registry"], get_template).method(&["registry"], get_version)
}

async fn get_template(app: &App, request: Request<GetTemplateRequest>) -> Result<GetTemplateResponse> {
    let asked = &request.get_ref().template;
    app.db.service_read(async |c| by_id_or_name(c, asked).await).await.map(Into::into)
}

async fn get_version(app: &App, request: Request<GetVersionRequest>) -> Result<GetVersionResponse> {
    let GetVersionRequest { name, version } = request.get_ref();
    let found = app.db.service_read(async |c| by_name_and_version(c, name, version).await).await?;
    Ok(GetVersionResponse { version: Some(found.into()) })
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
