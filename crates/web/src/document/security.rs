//! Which credential an operation asks for, and which role: from the table of who may do what.

use domain::access::{About, Operation as Row};
use utoipa::openapi::{
    Components, RefOr,
    path::Operation,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

const BEARER: &str = "bearer";

/// Adds what the operation's row says. Where everyone may ask that is known, no role is named.
pub(super) fn add(operation: &mut Operation) {
    let row = operation.operation_id.as_deref().and_then(Row::find);
    let role = row.filter(|row| row.about != About::Caller).map(|row| row.least.as_str());
    operation.security = Some(vec![SecurityRequirement::new(BEARER, role)]);
}

/// Adds what [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The operator key, an API key, or a token of a configured OpenID Connect issuer. An operation's requirement \
             names the least role that may do it, within what the caller's grants reach.",
        ))
        .build();
    components.security_schemes.insert(BEARER.to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
}
