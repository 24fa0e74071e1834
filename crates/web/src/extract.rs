//! Extractors of handlers: typed and validated input with an authenticated caller.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    ops::Deref,
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header,
    web::{self, BytesMut},
};
use domain::{Cursor, Error, Kind, Limit, Result};
use futures_util::{StreamExt, future::LocalBoxFuture};
use identity::{ActorType, Ctx, Idempotency, Verifier, WriteCtx};
use runtime::telemetry;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr,
        schema::{AdditionalProperties, Schema, Type},
    },
};

use super::{HttpError, HttpSettings, operations::Operations, request_id};

/// The extractor of a read's context.
#[derive(Debug, Clone)]
pub struct Context(pub Ctx);

impl Deref for Context {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.0
    }
}

impl FromRequest for Context {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(context(request).map(Self).map_err(HttpError))
    }
}

/// Returns the context of a request. The caller is verified once per request, even with several extractors.
pub(crate) fn context(request: &HttpRequest) -> Result<Ctx> {
    if let Some(known) = request.extensions().get::<Ctx>() {
        return Ok(known.clone());
    }
    let context = verified(request)?;
    request.extensions_mut().insert(context.clone());
    Ok(context)
}

fn verified(request: &HttpRequest) -> Result<Ctx> {
    let verifier = request.app_data::<web::Data<Verifier>>().ok_or_else(|| Error::internal("no verifier"))?;
    let operations =
        request.app_data::<web::Data<Operations>>().ok_or_else(|| Error::internal("no operations"))?;
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = verifier.verify(authorization)?;
    // Each gRPC method lists the services that may call it; HTTP operations have no such list.
    if caller.actor_type == ActorType::Service {
        return Err(Error::new(Kind::Forbidden, "Services cannot call the HTTP API. Use gRPC."));
    }
    Ok(Ctx {
        caller: caller.for_operation(operations.find(request)?)?,
        request_id: request_id(request),
        traceparent: telemetry::traceparent().map(Arc::from),
    })
}

/// The extractor of a write: its context and its validated body.
#[derive(Debug)]
pub struct Command<T> {
    /// The context of the write.
    pub ctx: WriteCtx,
    /// The validated body.
    pub body: T,
}

/// The body of a write that has none. An empty object is accepted too.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

// A derived schema would not forbid additional fields, and only the first unknown field would be reported.
impl PartialSchema for NoBody {
    fn schema() -> RefOr<Schema> {
        let none = AdditionalProperties::FreeForm(false);
        ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(none)).into()
    }
}

impl ToSchema for NoBody {}

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for Command<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let unchecked: Unchecked<T> = unchecked(&request, &mut payload).await?;
            Ok(unchecked.check(async |_, _| Ok(())).await?)
        })
    }
}

/// A function that checks whether the object of a write's path exists in the caller's scope. If a service has one in
/// its application data, it runs before the faults of a body are reported, so that an object outside the scope is still
/// 404.
#[derive(Clone, Copy)]
pub struct Locate(pub fn(HttpRequest, Ctx) -> LocalBoxFuture<'static, Result<()>>);

impl std::fmt::Debug for Locate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Locate")
    }
}

async fn locate(request: &HttpRequest, ctx: &Ctx) -> Result<()> {
    match request.app_data::<web::Data<Locate>>() {
        Some(locate) => locate.0(request.clone(), ctx.clone()).await,
        None => Ok(()),
    }
}

/// The extractor of a write whose body is not validated yet, for operations whose path is not sufficient for the access
/// check. The handler checks access before the faults of the body are reported.
#[derive(Debug)]
pub struct Unchecked<T> {
    /// The context of the write.
    pub ctx: WriteCtx,
    request: HttpRequest,
    bytes: BytesMut,
    body: PhantomData<T>,
}

impl<T: DeserializeOwned + ToSchema + 'static> Unchecked<T> {
    /// Validates the body. Before faults are reported, `decide` rejects a caller without access. With a valid body, the
    /// handler itself checks access.
    ///
    /// # Errors
    /// Those of `decide`; [`Kind::Validation`] with all faults.
    pub async fn check(self, decide: impl AsyncFnOnce(&Ctx, Value) -> Result<()>) -> Result<Command<T>> {
        match check::from_bytes(&self.bytes) {
            Ok(body) => Ok(Command { ctx: self.ctx, body }),
            Err(error) => {
                // Operators have access to everything.
                if !self.ctx.caller.is_operator() {
                    locate(&self.request, &self.ctx).await?;
                    decide(&self.ctx, serde_json::from_slice(&self.bytes).unwrap_or_default()).await?;
                }
                Err(error)
            }
        }
    }
}

impl<T: 'static> FromRequest for Unchecked<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(unchecked(&request, &mut payload).await?) })
    }
}

async fn unchecked<T>(request: &HttpRequest, payload: &mut Payload) -> Result<Unchecked<T>> {
    // The caller is verified first, so that the body of an unauthenticated request is not read. `Path` rejects a caller
    // without access to the platform of the path before that, too.
    let ctx = context(request)?;
    let bytes = body(request, payload).await?;
    let ctx = write_ctx(request, ctx, &bytes)?;
    Ok(Unchecked { ctx, request: request.clone(), bytes, body: PhantomData })
}

async fn body(request: &HttpRequest, payload: &mut Payload) -> Result<BytesMut> {
    let settings =
        request.app_data::<web::Data<HttpSettings>>().ok_or_else(|| Error::internal("no settings"))?;
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(kind) = header(header::CONTENT_TYPE)
        && !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    {
        let message = "The body must have the content type application/json.";
        return Err(Error::new(Kind::UnsupportedMediaType, message));
    }
    let too_large = || {
        Error::new(
            Kind::PayloadTooLarge,
            format!("The body is larger than {} bytes.", settings.max_body_bytes),
        )
        .with("maxBytes", settings.max_body_bytes)
    };
    if header(header::CONTENT_LENGTH)
        .and_then(|text| text.parse::<usize>().ok())
        .is_some_and(|n| n > settings.max_body_bytes)
    {
        return Err(too_large());
    }
    let read = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk =
                chunk.map_err(|error| Error::invalid("", "The body ended too early.").context(error))?;
            if bytes.len() + chunk.len() > settings.max_body_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(settings.body_timeout, read).await.unwrap_or_else(|_| {
        let message = format!("The body did not arrive within {} s.", settings.body_timeout.as_secs_f32());
        Err(Error::new(Kind::RequestTimeout, message))
    })
}

#[derive(Deserialize)]
struct WriteQuery {
    #[serde(rename = "dryRun")]
    dry_run: Option<String>,
}

fn write_ctx(request: &HttpRequest, ctx: Ctx, body: &[u8]) -> Result<WriteCtx> {
    reject_near_misses(request.query_string())?;
    let query = web::Query::<WriteQuery>::from_query(request.query_string())
        .map_err(|error| Error::invalid("dryRun", "must appear only once").context(error))?;
    let dry_run = match query.dry_run.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Error::invalid("dryRun", "must be true or false")),
    };
    let text = |name: &str| match request.headers().get(name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(error)) => Err(Error::invalid(name, "must be printable ASCII").context(error)),
    };
    let parts = [request.method().as_str().as_bytes(), request.path().as_bytes(), body];
    let idempotency = text("Idempotency-Key")?.map(|key| Idempotency::new(key, &parts)).transpose()?;
    // A dry run stores no key, and must not return the stored response of a real write.
    let idempotency = idempotency.filter(|_| !dry_run);
    let if_match = text("If-Match")?.map(str::to_owned);
    Ok(WriteCtx { ctx, dry_run, idempotency, if_match })
}

/// Rejects a parameter whose name resembles `dryRun`. If it were ignored, an intended dry run would be a real write.
fn reject_near_misses(query: &str) -> Result<()> {
    // Some clients separate parameters by semicolons.
    for pair in query.split(['&', ';']) {
        let Some((name, _)) = url::form_urlencoded::parse(pair.as_bytes()).next() else { continue };
        let letters = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase());
        if name != "dryRun" && letters.eq("dryrun".chars()) {
            return Err(Error::invalid(name, "must be spelled dryRun"));
        }
    }
    if query.split('&').any(|pair| pair.split(';').skip(1).any(|part| part.starts_with("dryRun="))) {
        return Err(Error::invalid("dryRun", "must be separated by '&' from the previous parameter"));
    }
    Ok(())
}

/// The extractor of a query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(query(request.query_string()).map(Self).map_err(HttpError))
    }
}

/// Parses a query string. A fault names the parameter.
fn query<T: DeserializeOwned>(text: &str) -> Result<T> {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    if let Some((name, _)) = pairs.clone().find(|(_, value)| value.contains('\0')) {
        return Err(Error::invalid(name, "must not contain a NUL character"));
    }
    let mut track = serde_path_to_error::Track::new();
    let reader = serde_urlencoded::Deserializer::new(pairs);
    T::deserialize(serde_path_to_error::Deserializer::new(reader, &mut track)).map_err(|error| {
        Error::invalid(track.path().to_string().trim_matches('.'), check::predicate(&error.to_string()))
    })
}

/// `?limit=&cursor=` of every list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Maximum number of objects on the page, from 1 to 100. The default is 50; a larger value is reduced to 100.
    pub limit: Option<String>,
    /// Start of the page: `nextCursor` of the previous page.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// Parses the limit and the position in the list that `list` identifies, including its filter.
    ///
    /// # Errors
    /// [`Kind::Validation`] for the limit, [`Kind::InvalidCursor`] for the cursor.
    pub fn parse(&self, list: &str) -> Result<(Limit, Cursor)> {
        let limit = Limit::parse(self.limit.as_deref())?;
        let cursor = self
            .cursor
            .as_deref()
            .map_or_else(|| Ok(Cursor::start()), |token| Cursor::decode(token, list))?;
        Ok((limit, cursor))
    }
}

#[cfg(test)]
mod tests {
    use domain::resource::Environment;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TestQuery {
        limit: Option<String>,
        include_deleted: Option<bool>,
        env: Option<Environment>,
    }

    #[test]
    fn all_unknown_fields_are_reported() {
        let error = check::from_bytes::<NoBody>(br#"{"a":1,"b":2}"#).unwrap_err();
        let paths = error.details()["fields"].as_array().unwrap().iter().map(|fault| fault["path"].clone());
        assert_eq!(paths.collect::<Vec<_>>(), ["a", "b"]);
        check::from_bytes::<NoBody>(b"").unwrap();
    }

    #[test]
    fn near_misses_of_dry_run_are_rejected() {
        for miss in [
            "dryrun=true",
            "a=1&dry_run=true",
            "dryRun[]=true",
            "DryRun",
            "dry%52un=1;dry-run=1",
            "x=1;dryRun=true",
        ] {
            assert!(reject_near_misses(miss).is_err(), "{miss}");
        }
        for other in ["", "dryRun=true", "x=1&dryRun=false&run=dry", "dryRuns=1", "note=dryrun"] {
            assert!(reject_near_misses(other).is_ok(), "{other}");
        }
    }

    #[test]
    fn query_is_parsed_into_typed_fields() {
        let read = query::<TestQuery>("limit=1%30&includeDeleted=true&env=stg&other=x").unwrap();
        assert_eq!(
            (read.limit.as_deref(), read.include_deleted, read.env),
            (Some("10"), Some(true), Some(Environment::Stg))
        );
        let read = query::<TestQuery>("").unwrap();
        assert_eq!((read.limit, read.include_deleted, read.env), (None, None, None));
    }

    #[test]
    fn query_faults_name_the_parameter() {
        let at = |text| query::<TestQuery>(text).unwrap_err().details()["fields"][0]["path"].clone();
        assert_eq!(at("limit=1&env=moon"), "env");
        assert_eq!(at("includeDeleted=maybe"), "includeDeleted");
        assert_eq!(at("limit=%00"), "limit");
        assert!(query::<TestQuery>("limit=1&limit=2").unwrap_err().message().contains("limit"));
    }
}
