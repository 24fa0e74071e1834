//! gRPC methods that a process serves, each with its allowed callers and its handler.

use std::{
    collections::HashMap,
    convert::Infallible,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use domain::Result;
use futures_util::{Stream, future::BoxFuture};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::http,
    server::{Grpc, NamedService, StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use crate::{Method, Service, StreamMethod, status::to_status};

/// Names of the processes that may call a method.
pub type Callers = &'static [&'static str];

/// Function that handles the requests of a method.
pub trait Handler<'a, A: 'a, M: Method>: Fn(&'a A, Request<M>) -> Self::Fut {
    type Fut: Future<Output = Result<M::Response>> + Send;
}

impl<'a, A: 'a, M: Method, F, Fut> Handler<'a, A, M> for F
where
    F: Fn(&'a A, Request<M>) -> Fut,
    Fut: Future<Output = Result<M::Response>> + Send,
{
    type Fut = Fut;
}

type ServeFn<A> = dyn Fn(A, http::Request<Body>) -> BoxFuture<'static, http::Response<Body>> + Send + Sync;

struct RegisteredMethod<A> {
    callers: Callers,
    serve: Arc<ServeFn<A>>,
}

/// The methods of the service `S`, whose handlers take an `A`.
pub struct Methods<S, A> {
    app: A,
    methods: Arc<HashMap<&'static str, RegisteredMethod<A>>>,
    service: PhantomData<fn() -> S>,
}

impl<S, A: Clone> Clone for Methods<S, A> {
    fn clone(&self) -> Self {
        Self { app: self.app.clone(), methods: Arc::clone(&self.methods), service: PhantomData }
    }
}

impl<S: Service, A> std::fmt::Debug for Methods<S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Methods({})", S::NAME)
    }
}

/// Builder of [`Methods`].
pub struct MethodsBuilder<S, A> {
    methods: HashMap<&'static str, RegisteredMethod<A>>,
    service: PhantomData<fn() -> S>,
}

impl<S: Service, A> std::fmt::Debug for MethodsBuilder<S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MethodsBuilder({})", S::NAME)
    }
}

impl<S, A> Default for MethodsBuilder<S, A> {
    fn default() -> Self {
        Self { methods: HashMap::new(), service: PhantomData }
    }
}

impl<S: Service, A: Clone + Send + Sync + 'static> MethodsBuilder<S, A> {
    /// Adds a method with its allowed callers and its handler.
    #[must_use]
    pub fn method<M, H>(mut self, callers: Callers, handler: H) -> Self
    where
        M: Method<Service = S>,
        H: for<'a> Handler<'a, A, M> + Copy + Send + Sync + 'static,
    {
        let serve = move |app: A, request| -> BoxFuture<'static, http::Response<Body>> {
            Box::pin(async move {
                let codec = ProstCodec::<M::Response, M>::default();
                Grpc::new(codec).unary(UnaryHandler { app, handler }, request).await
            })
        };
        self.methods.insert(M::PATH, RegisteredMethod { callers, serve: Arc::new(serve) });
        self
    }

    /// Adds a method with a bidirectional stream.
    #[must_use]
    pub fn stream<M, H, T>(mut self, callers: Callers, handler: H) -> Self
    where
        M: StreamMethod<Service = S>,
        H: Fn(&A, Streaming<M>) -> Result<T> + Copy + Send + Sync + 'static,
        T: Stream<Item = std::result::Result<M::Response, Status>> + Send + 'static,
    {
        let serve = move |app: A, request| -> BoxFuture<'static, http::Response<Body>> {
            Box::pin(async move {
                let codec = ProstCodec::<M::Response, M>::default();
                Grpc::new(codec).streaming(StreamHandler { app, handler }, request).await
            })
        };
        self.methods.insert(M::PATH, RegisteredMethod { callers, serve: Arc::new(serve) });
        self
    }

    /// Returns the path of each method with its allowed callers, in the order of the service definition.
    pub fn callers(&self) -> Vec<(&'static str, Callers)> {
        let callers = |path: &&'static str| self.methods.get(path).map(|method| (*path, method.callers));
        S::METHODS.iter().filter_map(callers).collect()
    }

    /// Builds the methods; their handlers get `app`.
    ///
    /// # Errors
    /// If a method of the service has no handler.
    pub fn build(self, app: A) -> anyhow::Result<Methods<S, A>> {
        for path in S::METHODS {
            anyhow::ensure!(self.methods.contains_key(path), "the method {path} has no handler");
        }
        Ok(Methods { app, methods: Arc::new(self.methods), service: PhantomData })
    }
}

impl<S, A> Methods<S, A> {
    /// Returns the path of each method with its allowed callers, in no particular order.
    pub fn callers(&self) -> impl Iterator<Item = (&'static str, Callers)> {
        self.methods.iter().map(|(path, method)| (*path, method.callers))
    }
}

impl<S: Service, A> NamedService for Methods<S, A> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service, A: Clone + Send + 'static> tower::Service<http::Request<Body>> for Methods<S, A> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = match self.methods.get(request.uri().path()) {
            Some(method) => (method.serve)(self.app.clone(), request),
            None => Box::pin(async { Status::unimplemented("The method does not exist.").into_http() }),
        };
        Box::pin(async move { Ok(response.await) })
    }
}

struct UnaryHandler<A, H> {
    app: A,
    handler: H,
}

impl<A, H, M> UnaryService<M> for UnaryHandler<A, H>
where
    A: Clone + Send + Sync + 'static,
    M: Method,
    H: for<'a> Handler<'a, A, M> + Copy + Send + Sync + 'static,
{
    type Response = M::Response;
    type Future = BoxFuture<'static, Result<Response<M::Response>, Status>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let (app, handler) = (self.app.clone(), self.handler);
        Box::pin(
            async move { handler(&app, request).await.map(Response::new).map_err(|error| to_status(&error)) },
        )
    }
}

struct StreamHandler<A, H> {
    app: A,
    handler: H,
}

impl<A, H, M, T> StreamingService<M> for StreamHandler<A, H>
where
    A: Clone + Send + Sync + 'static,
    M: StreamMethod,
    H: Fn(&A, Streaming<M>) -> Result<T> + Copy + Send + Sync + 'static,
    T: Stream<Item = std::result::Result<M::Response, Status>> + Send + 'static,
{
    type Response = M::Response;
    type ResponseStream = T;
    type Future = BoxFuture<'static, Result<Response<T>, Status>>;

    fn call(&mut self, request: Request<Streaming<M>>) -> Self::Future {
        let (app, handler) = (self.app.clone(), self.handler);
        Box::pin(async move {
            handler(&app, request.into_inner()).map(Response::new).map_err(|error| to_status(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Onboarding,
        onboarding::{ExplainPlatformRequest, ExplainPlatformResponse},
    };

    async fn explain(_: &(), _: Request<ExplainPlatformRequest>) -> Result<ExplainPlatformResponse> {
        Ok(ExplainPlatformResponse::default())
    }

    #[test]
    fn service_with_an_unhandled_method_is_not_built() {
        let error = MethodsBuilder::<Onboarding, ()>::default().build(()).unwrap_err();
        assert!(error.to_string().contains("/nno.onboarding.v1.Onboarding/ExplainPlatform"), "{error}");
        let methods = MethodsBuilder::default().method(&["registry"], explain).build(()).unwrap();
        let callers: Vec<_> = methods.callers().collect();
        assert_eq!(callers, [(ExplainPlatformRequest::PATH, &["registry"][..])]);
    }
}
