//! The manifest over HTTP.

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    },
    web::Data,
};
use chrono::{DateTime, Utc};
use domain::{
    EntityId, Error, PlatformId, Role, access::Access, deployment::FeatureStatus, resource::Environment,
};
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;
use web::{Context, HttpResult, Path, Query};

use super::store::{self, ManifestRow};
use crate::{App, features::http::EnvironmentQuery};

/// ETag of a manifest that no feature was ever part of.
const EMPTY: &str = "\"empty\"";
/// Private to the caller, and revalidated on every request.
const CACHING: &str = "private, no-cache";

/// The features that an entity runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    platform_id: PlatformId,
    entity_id: EntityId,
    environment: Environment,
    /// Sorted by id.
    features: Vec<ManifestFeature>,
    /// Time of the last change of the manifest.
    #[serde(with = "clock::rfc3339")]
    generated_at: DateTime<Utc>,
}

/// A running feature.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManifestFeature {
    id: String,
    /// The running version, also during an upgrade.
    version: String,
    /// Package of the user interface.
    package: String,
    /// Address of the service; null without one.
    #[schema(required)]
    service_url: Option<String>,
    status: FeatureStatus,
}

impl ManifestFeature {
    fn from_row(row: ManifestRow) -> Option<Self> {
        let (id, version, package) = (row.feature?, row.version?, row.package?);
        Some(Self { id, version, package, service_url: row.service_url, status: FeatureStatus::Active })
    }
}

/// Get the feature manifest for an entity.
///
/// The strong ETag changes with the manifest. A request with `If-None-Match` gets 304 until then.
#[utoipa::path(
    operation_id = "getManifest",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(EnvironmentQuery),
    responses((status = 200, body = Manifest)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/manifest")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId)>,
    query: Query<EnvironmentQuery>,
    request: HttpRequest,
) -> HttpResult {
    let (scope, entity_id) = path.0;
    let environment = query.0.env.unwrap_or(Environment::Prod);
    let client_tags =
        request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let rows = app
        .db
        .read(&ctx, async |c| store::rows(c, &scope, &entity_id, environment, client_tags).await)
        .await?;
    let first = rows.first().ok_or_else(|| Error::not_found("entity", &entity_id))?;
    let etag = first.etag.clone().unwrap_or_else(|| EMPTY.to_owned());
    let not_modified = client_tags.trim() == "*" || client_tags.contains(&etag);
    let mut response =
        HttpResponse::build(if not_modified { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    response.insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, CACHING));
    if not_modified {
        return Ok(response.finish());
    }
    let generated_at = first.changed_at.unwrap_or(first.entity_since);
    let features = rows.into_iter().filter_map(ManifestFeature::from_row).collect();
    Ok(response.json(Manifest {
        platform_id: scope.id().clone(),
        entity_id,
        environment,
        features,
        generated_at,
    }))
}
