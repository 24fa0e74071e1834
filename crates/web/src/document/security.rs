//! The credential and role that an operation requires, from the access that its handler declares.

use domain::access::Access;
use serde::Deserialize;
use utoipa::openapi::{
    Components, RefOr,
    path::Operation,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

const BEARER: &str = "bearer";

/// Returns the access that a handler declares, if any.
///
/// # Errors
/// When the extension is not an [`Access`].
pub(crate) fn declared_access(operation: &Operation) -> Result<Option<Access>, serde_json::Error> {
    let extension = operation.extensions.as_ref().and_then(|all| all.get(Access::EXTENSION));
    extension.map(Access::deserialize).transpose()
}

/// Adds the security requirement. It names no role if every authenticated caller may call the operation.
pub(super) fn add(operation: &mut Operation) {
    let access = declared_access(operation).ok().flatten();
    let role = access.filter(|access| *access != Access::Caller).map(|access| access.least().as_str());
    operation.security = Some(vec![SecurityRequirement::new(BEARER, role)]);
}

/// Adds the components that [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The operator key, an API key, or a token of a configured OpenID Connect issuer. The requirement of an \
             operation names the lowest role that may call it within the caller's scope.",

        ))
        .build();
    components.security_schemes.insert(BEARER.to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
}
