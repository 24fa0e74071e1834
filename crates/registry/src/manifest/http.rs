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

use super::store::{self, Line};
use crate::{App, features::http::EnvironmentQuery};

/// The tag of a manifest that nothing was ever part of.
const EMPTY: &str = "\"empty\"";
/// For the caller alone, who asks each time whether it still holds.
const CACHING: &str = "private, no-cache";

/// The features that an entity runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    platform_id: PlatformId,
    entity_id: EntityId,
    environment: Environment,
    /// By id.
    features: Vec<ManifestFeature>,
    /// When the manifest changed last.
    #[serde(with = "clock::rfc3339")]
    generated_at: DateTime<Utc>,
}

/// A feature that runs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManifestFeature {
    id: String,
    /// The version that runs, also while another is on its way.
    version: String,
    /// The package that holds its user interface.
    package: String,
    /// Where its service is reached; null where it has none.
    #[schema(required)]
    service_url: Option<String>,
    status: FeatureStatus,
}

impl ManifestFeature {
    fn of(line: Line) -> Option<Self> {
        let (id, version, package) = (line.feature?, line.version?, line.package?);
        Some(Self { id, version, package, service_url: line.service_url, status: FeatureStatus::Active })
    }
}

/// Get the feature manifest for an entity.
///
/// Its strong ETag changes whenever it does: with `If-None-Match` it is 304 until then.
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
    let seen = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let lines =
        app.db.read(&ctx, async |c| store::lines(c, &scope, &entity_id, environment, seen).await).await?;
    let first = lines.first().ok_or_else(|| Error::not_found("entity", &entity_id))?;
    let etag = first.etag.clone().unwrap_or_else(|| EMPTY.to_owned());
    let known = seen.trim() == "*" || seen.contains(&etag);
    let mut answer = HttpResponse::build(if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    answer.insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, CACHING));
    if known {
        return Ok(answer.finish());
    }
    let generated_at = first.changed_at.unwrap_or(first.entity_since);
    let features = lines.into_iter().filter_map(ManifestFeature::of).collect();
    Ok(answer.json(Manifest {
        platform_id: scope.id().clone(),
        entity_id,
        environment,
        features,
        generated_at,
    }))
}
