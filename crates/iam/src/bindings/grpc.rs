//! gRPC handlers of bindings.

use domain::{Error, Grant, GrantScope, Name, Result};
use rpc::{
    iam::{
        EnsureBindingRequest, EnsureBindingResponse, Grant as GrantMessage, RemoveBindingRequest,
        RemoveBindingResponse, ResolvePersonRequest, ResolvePersonResponse,
    },
    parse, required, write_ctx,
};
use tonic::Request;

use super::{model::BindingRow, ops, store};
use crate::App;

pub(crate) async fn resolve_person(
    app: &App,
    request: Request<ResolvePersonRequest>,
) -> Result<ResolvePersonResponse> {
    // A subject that is not a valid name cannot have bindings.
    let Ok(subject) = Name::parse(&request.get_ref().subject) else {
        return Ok(ResolvePersonResponse::default());
    };
    let rows = app.db.service_read(async |c| store::by_subject(c, &subject).await).await?;
    let grants: Vec<Grant> = rows.iter().map(BindingRow::grant).collect::<Result<_>>()?;
    Ok(ResolvePersonResponse { grants: grants.into_iter().map(GrantMessage::from).collect() })
}

pub(crate) async fn ensure_binding(
    app: &App,
    request: Request<EnsureBindingRequest>,
) -> Result<EnsureBindingResponse> {
    let ctx = write_ctx(&request)?;
    let EnsureBindingRequest { subject, grant } = request.into_inner();
    ops::ensure(app, &ctx, &parse("subject", &subject)?, &platform_grant(grant)?).await?;
    Ok(EnsureBindingResponse {})
}

pub(crate) async fn remove_binding(
    app: &App,
    request: Request<RemoveBindingRequest>,
) -> Result<RemoveBindingResponse> {
    let ctx = write_ctx(&request)?;
    let RemoveBindingRequest { subject, grant } = request.into_inner();
    ops::remove(app, &ctx, &parse("subject", &subject)?, &platform_grant(grant)?).await?;
    Ok(RemoveBindingResponse {})
}

/// Reads a grant for one platform. Services cannot create other grants.
fn platform_grant(message: Option<GrantMessage>) -> Result<Grant> {
    let grant = Grant::try_from(required("grant", message)?)?;
    match grant.scope {
        GrantScope::Platform(_) => Ok(grant),
        GrantScope::All | GrantScope::Entity(..) => {
            Err(Error::invalid("grant", "must have the scope of one platform"))
        }
    }
}
