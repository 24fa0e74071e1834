//! The API documentation: one OpenAPI document of all operations, a page that shows it, and the JSON Schemas of stack
//! definitions and manifests. All are public.
//!
//! The page loads nothing from other origins, and its security policy forbids that.

mod base;
mod costs;
mod merge;

pub use merge::document;

use std::{
    io::{Read, Write},
    sync::Arc,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web::{Bytes, Data, ServiceConfig},
};
use anyhow::{Context, Result};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use identity::etag;
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH, definition_schema, manifest_schema};
use web::Paths;

use self::costs::Costs;
use crate::{compress::accepts_gzip, routes::GATEWAY_PATHS};

const CONTENT_SECURITY_POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;
/// The policy of the page. `style-src 'self'` suffices, because its scripts set styles only through the DOM.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file with the path that serves it.
#[derive(Debug)]
struct File {
    path: &'static str,
    kind: &'static str,
    plain: Bytes,
    gzip: Bytes,
    etag: String,
}

impl File {
    fn new(path: &'static str, kind: &'static str, plain: impl Into<Bytes>) -> Result<Self> {
        let plain = plain.into();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&plain)?;
        let gzip = encoder.finish()?.into();
        Ok(Self { path, kind, etag: etag::of_bytes(&plain), plain, gzip })
    }

    /// Loads a file of Swagger UI, which is embedded in compressed form.
    fn vendored(path: &'static str, kind: &'static str) -> Result<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let file = utoipa_swagger_ui::serve(name, Arc::default())
            .ok()
            .flatten()
            .with_context(|| format!("Swagger UI has no file {name}"))?;
        if !file.gzpipped {
            return Self::new(path, kind, file.bytes.into_owned());
        }
        let mut plain = Vec::new();
        GzDecoder::new(&*file.bytes).read_to_end(&mut plain)?;
        let etag = etag::of_bytes(&plain);
        Ok(Self { path, kind, etag, plain: plain.into(), gzip: file.bytes.into_owned().into() })
    }

    fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_current = known.is_some_and(|known| etag::matches(known, &self.etag));
        let mut response = if is_current { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response.insert_header((header::ETAG, self.etag.as_str()));
        // Browsers may cache the file but must revalidate it, because it changes with the gateway's version.
        response.insert_header((header::CACHE_CONTROL, "public, no-cache"));
        response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
        if is_current {
            return response.finish();
        }
        response.content_type(self.kind);
        if accepts_gzip(request) {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
            response.insert_header((header::VARY, "accept-encoding"));
            return response.body(self.gzip.clone());
        }
        response.body(self.plain.clone())
    }
}

/// The documentation of the API.
#[derive(Debug)]
pub(crate) struct Docs {
    files: Vec<File>,
    /// The paths that clients can call.
    pub(crate) paths: Paths,
    /// The costs of operations.
    pub(crate) costs: Costs,
}

impl Docs {
    /// Merges the documents of the services.
    ///
    /// # Errors
    /// When the documents contradict each other.
    pub(crate) fn new() -> Result<Self> {
        let document = merge::document()?;
        let files = vec![
            File::new("/openapi.json", "application/json", serde_json::to_vec(&document)?)?,
            File::new(DEFINITION_SCHEMA_PATH, "application/json", serde_json::to_vec(&definition_schema())?)?,
            File::new(MANIFEST_SCHEMA_PATH, "application/json", serde_json::to_vec(&manifest_schema())?)?,
            File::new("/docs", "text/html; charset=utf-8", include_str!("page.html"))?,
            File::new("/docs/page.css", "text/css; charset=utf-8", include_str!("page.css"))?,
            File::new("/docs/page.js", "text/javascript; charset=utf-8", include_str!("page.js"))?,
            File::vendored("/docs/swagger-ui.css", "text/css; charset=utf-8")?,
            File::vendored("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8")?,
        ];
        Ok(Self {
            files,
            paths: Paths::new(merge::methods(&document)),
            costs: Costs::from_document(&document),
        })
    }

    /// Returns true if a path is public.
    pub(crate) fn is_public(&self, path: &str) -> bool {
        GATEWAY_PATHS.contains(&path) || self.files.iter().any(|file| file.path == path)
    }

    /// Responds to `OPTIONS` with the methods of a path.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`] when the path does not exist.
    pub(crate) fn options(&self, path: &str) -> domain::Result<HttpResponse> {
        let allowed = match path {
            // The whole server.
            "*" => "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
            path if self.is_public(path) => "GET, HEAD, OPTIONS",
            path => return self.paths.options(path),
        };
        Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allowed)).finish())
    }

    /// Adds the paths of all files.
    pub(crate) fn configure(self: &Arc<Self>, config: &mut ServiceConfig) {
        config.app_data(Data::from(Arc::clone(self)));
        for file in &self.files {
            config.route(file.path, web::read_route().to(serve));
        }
    }
}

async fn serve(request: HttpRequest, docs: Data<Docs>) -> HttpResponse {
    match docs.files.iter().find(|file| file.path == request.path()) {
        Some(file) => file.respond(&request),
        None => HttpResponse::NotFound().finish(),
    }
}
