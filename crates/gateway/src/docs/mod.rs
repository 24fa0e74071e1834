//! The API told over HTTP: one document of all operations, a page to read it, and the JSON Schemas of the format that
//! stacks are defined in. Anyone may ask for them.
//!
//! Nothing of the page comes from elsewhere, and the browser is told to load nothing else.

mod costs;
mod merge;
mod own;

pub use merge::document;

use self::costs::Costs;

use std::sync::Arc;

use crate::routes::OWN;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web::{Bytes, Data, ServiceConfig},
};
use anyhow::{Context, Result};
use identity::etag;
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH, definition_schema, manifest_schema};
use web::Paths;

const CONTENT_SECURITY_POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;
/// `style-src` takes what the page's scripts write into elements; they bring their styles along no other way.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served at one path.
#[derive(Debug)]
struct File {
    path: &'static str,
    kind: &'static str,
    is_gzip: bool,
    body: Bytes,
    etag: String,
}

impl File {
    fn new(path: &'static str, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { path, kind, is_gzip: false, etag: etag::of_bytes(&body), body }
    }

    /// A file of Swagger UI, which is kept packed.
    fn vendored(path: &'static str, kind: &'static str) -> Result<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let file = utoipa_swagger_ui::serve(name, Arc::default())
            .ok()
            .flatten()
            .with_context(|| format!("Swagger UI has no {name}"))?;
        let is_gzip = file.gzpipped;
        Ok(Self { is_gzip, ..Self::new(path, kind, file.bytes.into_owned()) })
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let seen = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let has_it = seen.is_some_and(|seen| etag::matches(seen, &self.etag));
        let mut answer = if has_it { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer.insert_header((header::ETAG, self.etag.as_str()));
        // Kept, and asked about each time: it changes when the gateway does.
        answer.insert_header((header::CACHE_CONTROL, "public, no-cache"));
        answer.insert_header((CONTENT_SECURITY_POLICY, POLICY));
        if has_it {
            return answer.finish();
        }
        if self.is_gzip {
            answer.insert_header((header::CONTENT_ENCODING, "gzip"));
        }
        answer.content_type(self.kind).body(self.body.clone())
    }
}

/// All that is told of the API.
#[derive(Debug)]
pub(crate) struct Docs {
    files: Vec<File>,
    /// The paths that clients can call.
    pub(crate) paths: Paths,
    /// The operations that cost more than others.
    pub(crate) costs: Costs,
}

impl Docs {
    /// Puts the documents of the services together.
    ///
    /// # Errors
    /// When they contradict each other.
    pub(crate) fn new() -> Result<Self> {
        let document = merge::document()?;
        let files = vec![
            File::new("/openapi.json", "application/json", serde_json::to_vec(&document)?),
            File::new(DEFINITION_SCHEMA_PATH, "application/json", serde_json::to_vec(&definition_schema())?),
            File::new(MANIFEST_SCHEMA_PATH, "application/json", serde_json::to_vec(&manifest_schema())?),
            File::new("/docs", "text/html; charset=utf-8", include_str!("page.html")),
            File::new("/docs/page.css", "text/css; charset=utf-8", include_str!("page.css")),
            File::new("/docs/page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
            File::vendored("/docs/swagger-ui.css", "text/css; charset=utf-8")?,
            File::vendored("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8")?,
        ];
        Ok(Self { files, paths: Paths::new(merge::methods(&document)), costs: Costs::of(&document) })
    }

    /// Whether anyone may ask for what is at a path.
    pub(crate) fn is_open(&self, path: &str) -> bool {
        OWN.contains(&path) || self.files.iter().any(|file| file.path == path)
    }

    /// The answer to `OPTIONS`: the methods that a path takes.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`] when there is nothing at it.
    pub(crate) fn options(&self, path: &str) -> domain::Result<HttpResponse> {
        let allowed = match path {
            // The server as a whole.
            "*" => "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
            path if self.is_open(path) => "GET, HEAD, OPTIONS",
            path => return self.paths.options(path),
        };
        Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allowed)).finish())
    }

    /// Adds their paths.
    pub(crate) fn configure(self: &Arc<Self>, config: &mut ServiceConfig) {
        config.app_data(Data::from(Arc::clone(self)));
        for file in &self.files {
            config.route(file.path, web::read_route().to(serve));
        }
    }
}

async fn serve(request: HttpRequest, docs: Data<Docs>) -> HttpResponse {
    match docs.files.iter().find(|file| file.path == request.path()) {
        Some(file) => file.answer(&request),
        None => HttpResponse::NotFound().finish(),
    }
}
