//! What handlers take: typed, checked, and with the caller already known.

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

/// The context of a request that reads: who asks, and for what.
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

/// The context of a request. Its caller is verified once, however many extractors ask for it.
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
    // Services have gRPC, where each method says which of them may call it.
    if caller.actor_type == ActorType::Service {
        return Err(Error::new(Kind::Forbidden, "Services call each other over gRPC"));
    }
    Ok(Ctx {
        caller: caller.for_operation(operations.find(request)?)?,
        request_id: request_id(request),
        traceparent: telemetry::traceparent().map(Arc::from),
    })
}

/// A write: how it is to be done, and its body.
#[derive(Debug)]
pub struct Command<T> {
    /// Who, and how.
    pub ctx: WriteCtx,
    /// What.
    pub body: T,
}

/// A write that takes no body; an empty object is one too.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

// Derived, it would not say that it has no fields, and a body would be told the first of its faults alone.
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

/// Finds what the path of a write leads to, as its caller sees it. A service that has one in its application data is
/// asked when a body has faults: what the caller does not reach is 404 then, too.
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

/// A write of which the path does not tell whether the caller may do it: the handler decides before the faults of the
/// body are reported.
#[derive(Debug)]
pub struct Unchecked<T> {
    /// Who, and how.
    pub ctx: WriteCtx,
    request: HttpRequest,
    bytes: BytesMut,
    body: PhantomData<T>,
}

impl<T: DeserializeOwned + ToSchema + 'static> Unchecked<T> {
    /// Checks the body. Before its faults are reported, `decide` refuses a caller who may not do this; a valid body is
    /// left to the handler, which decides with all that the body holds.
    ///
    /// # Errors
    /// Those of `decide`; [`Kind::Validation`] with all faults.
    pub async fn check(self, decide: impl AsyncFnOnce(&Ctx, Value) -> Result<()>) -> Result<Command<T>> {
        match check::bytes(&self.bytes) {
            Ok(body) => Ok(Command { ctx: self.ctx, body }),
            Err(error) => {
                // An operator may do everything.
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
    // The caller first: the body of a stranger is not even read. Nor is that of a caller who may not do this in the
    // platform of the path, which `Path` refuses.
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
        return Err(Error::new(Kind::UnsupportedMediaType, "The body must be application/json"));
    }
    let too_large = || {
        Error::new(
            Kind::PayloadTooLarge,
            format!("The body is larger than {} bytes", settings.max_body_bytes),
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
                chunk.map_err(|error| Error::invalid("", "The body ended too early").context(error))?;
            if bytes.len() + chunk.len() > settings.max_body_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(settings.body_timeout, read).await.unwrap_or_else(|_| {
        let message = format!("The body did not arrive within {} s", settings.body_timeout.as_secs_f32());
        Err(Error::new(Kind::RequestTimeout, message))
    })
}

#[derive(Deserialize)]
struct WriteQuery {
    #[serde(rename = "dryRun")]
    dry_run: Option<String>,
}

fn write_ctx(request: &HttpRequest, ctx: Ctx, body: &[u8]) -> Result<WriteCtx> {
    refuse_near_misses(request.query_string())?;
    let query = web::Query::<WriteQuery>::from_query(request.query_string())
        .map_err(|error| Error::invalid("dryRun", "must be given once").context(error))?;
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
    // A dry run keeps no key, and the answer of a real write would not be its own.
    let idempotency = idempotency.filter(|_| !dry_run);
    let if_match = text("If-Match")?.map(str::to_owned);
    Ok(WriteCtx { ctx, dry_run, idempotency, if_match })
}

/// Refuses a parameter that is almost `dryRun`: taken for an unknown one, it would make a trial a real write.
fn refuse_near_misses(query: &str) -> Result<()> {
    // Some clients separate parameters by semicolons.
    for pair in query.split(['&', ';']) {
        let Some((name, _)) = url::form_urlencoded::parse(pair.as_bytes()).next() else { continue };
        let letters = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase());
        if name != "dryRun" && letters.eq("dryrun".chars()) {
            return Err(Error::invalid(name, "must be written dryRun"));
        }
    }
    if query.split('&').any(|pair| pair.split(';').skip(1).any(|part| part.starts_with("dryRun="))) {
        return Err(Error::invalid("dryRun", "must be separated by '&' from what is before it"));
    }
    Ok(())
}

/// The query of a read.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(query(request.query_string()).map(Self).map_err(HttpError))
    }
}

/// Reads a query; a fault is told by the parameter's name.
fn query<T: DeserializeOwned>(text: &str) -> Result<T> {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    if let Some((name, _)) = pairs.clone().find(|(_, value)| value.contains('\0')) {
        return Err(Error::invalid(name, "must not hold a NUL"));
    }
    let mut track = serde_path_to_error::Track::new();
    let reader = serde_urlencoded::Deserializer::new(pairs);
    T::deserialize(serde_path_to_error::Deserializer::new(reader, &mut track))
        .map_err(|error| Error::invalid(track.path().to_string().trim_matches('.'), error.to_string()))
}

/// `?limit=&cursor=` of every list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Things on the page: 1 to 100, 50 if absent; above 100 is cut to 100.
    pub limit: Option<String>,
    /// Where the page starts: `nextCursor` of the page before.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// The limit and place in the list that `list` names, filter included.
    ///
    /// # Errors
    /// [`Kind::Validation`] for the limit, [`Kind::InvalidCursor`] for the cursor.
    pub fn parse(&self, list: &str) -> Result<(Limit, Cursor)> {
        let limit = Limit::parse(self.limit.as_deref())?;
        let place = self
            .cursor
            .as_deref()
            .map_or_else(|| Ok(Cursor::start()), |token| Cursor::decode(token, list))?;
        Ok((limit, place))
    }
}

#[cfg(test)]
mod tests {
    use domain::resource::Environment;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        limit: Option<String>,
        include_deleted: Option<bool>,
        env: Option<Environment>,
    }

    #[test]
    fn all_that_is_not_asked_for_is_told() {
        let error = check::bytes::<NoBody>(br#"{"a":1,"b":2}"#).unwrap_err();
        let paths = error.details()["fields"].as_array().unwrap().iter().map(|fault| fault["path"].clone());
        assert_eq!(paths.collect::<Vec<_>>(), ["a", "b"]);
        check::bytes::<NoBody>(b"").unwrap();
    }

    #[test]
    fn near_misses_of_dry_run_are_faults() {
        for miss in [
            "dryrun=true",
            "a=1&dry_run=true",
            "dryRun[]=true",
            "DryRun",
            "dry%52un=1;dry-run=1",
            "x=1;dryRun=true",
        ] {
            assert!(refuse_near_misses(miss).is_err(), "{miss}");
        }
        for other in ["", "dryRun=true", "x=1&dryRun=false&run=dry", "dryRuns=1", "note=dryrun"] {
            assert!(refuse_near_misses(other).is_ok(), "{other}");
        }
    }

    #[test]
    fn what_a_query_says() {
        let read = query::<Wanted>("limit=1%30&includeDeleted=true&env=stg&other=x").unwrap();
        assert_eq!(
            (read.limit.as_deref(), read.include_deleted, read.env),
            (Some("10"), Some(true), Some(Environment::Stg))
        );
        let read = query::<Wanted>("").unwrap();
        assert_eq!((read.limit, read.include_deleted, read.env), (None, None, None));
    }

    #[test]
    fn faults_by_name() {
        let at = |text| query::<Wanted>(text).unwrap_err().details()["fields"][0]["path"].clone();
        assert_eq!(at("limit=1&env=moon"), "env");
        assert_eq!(at("includeDeleted=maybe"), "includeDeleted");
        assert_eq!(at("limit=%00"), "limit");
        assert!(query::<Wanted>("limit=1&limit=2").unwrap_err().message().contains("limit"));
    }
}
