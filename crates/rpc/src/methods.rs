//! The methods that a process serves: one declaration each, with who may call it and what handles it.

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

/// The processes that may call a method.
pub type Callers = &'static [&'static str];

/// A function that handles the requests of a method.
pub trait Handler<'a, A: 'a, M: Method>: Fn(&'a A, Request<M>) -> Self::Fut {
    type Fut: Future<Output = Result<M::Answer>> + Send;
}

impl<'a, A: 'a, M: Method, F, Fut> Handler<'a, A, M> for F
where
    F: Fn(&'a A, Request<M>) -> Fut,
    Fut: Future<Output = Result<M::Answer>> + Send,
{
    type Fut = Fut;
}

type Serve<A> = dyn Fn(A, http::Request<Body>) -> BoxFuture<'static, http::Response<Body>> + Send + Sync;

struct Served<A> {
    callers: Callers,
    serve: Arc<Serve<A>>,
}

/// The methods of the service `S`, which work with an `A`.
pub struct Methods<S, A> {
    app: A,
    served: Arc<HashMap<&'static str, Served<A>>>,
    service: PhantomData<fn() -> S>,
}

impl<S, A: Clone> Clone for Methods<S, A> {
    fn clone(&self) -> Self {
        Self { app: self.app.clone(), served: Arc::clone(&self.served), service: PhantomData }
    }
}

impl<S: Service, A> std::fmt::Debug for Methods<S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Methods({})", S::NAME)
    }
}

/// Methods that are being declared.
pub struct Declared<S, A> {
    served: HashMap<&'static str, Served<A>>,
    service: PhantomData<fn() -> S>,
}

impl<S: Service, A> std::fmt::Debug for Declared<S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Declared({})", S::NAME)
    }
}

impl<S, A> Default for Declared<S, A> {
    fn default() -> Self {
        Self { served: HashMap::new(), service: PhantomData }
    }
}

impl<S: Service, A: Clone + Send + Sync + 'static> Declared<S, A> {
    /// Declares a method: who may call it, and what handles it.
    #[must_use]
    pub fn method<M, H>(mut self, callers: Callers, handler: H) -> Self
    where
        M: Method<Service = S>,
        H: for<'a> Handler<'a, A, M> + Copy + Send + Sync + 'static,
    {
        let serve = move |app: A, request| -> BoxFuture<'static, http::Response<Body>> {
            Box::pin(async move {
                let codec = ProstCodec::<M::Answer, M>::default();
                Grpc::new(codec).unary(Unary { app, handler }, request).await
            })
        };
        self.served.insert(M::PATH, Served { callers, serve: Arc::new(serve) });
        self
    }

    /// Declares a method in which both sides send as long as they like.
    #[must_use]
    pub fn stream<M, H, T>(mut self, callers: Callers, handler: H) -> Self
    where
        M: StreamMethod<Service = S>,
        H: Fn(&A, Streaming<M>) -> Result<T> + Copy + Send + Sync + 'static,
        T: Stream<Item = std::result::Result<M::Answer, Status>> + Send + 'static,
    {
        let serve = move |app: A, request| -> BoxFuture<'static, http::Response<Body>> {
            Box::pin(async move {
                let codec = ProstCodec::<M::Answer, M>::default();
                Grpc::new(codec).streaming(Both { app, handler }, request).await
            })
        };
        self.served.insert(M::PATH, Served { callers, serve: Arc::new(serve) });
        self
    }

    /// Each method's path, in the order of the service, with the processes that may call it.
    pub fn callers(&self) -> Vec<(&'static str, Callers)> {
        let callers = |path: &&'static str| self.served.get(path).map(|served| (*path, served.callers));
        S::METHODS.iter().filter_map(callers).collect()
    }

    /// Serves them with an `A`.
    ///
    /// # Errors
    /// When a method of the service is not declared.
    pub fn serve(self, app: A) -> anyhow::Result<Methods<S, A>> {
        for path in S::METHODS {
            anyhow::ensure!(self.served.contains_key(path), "nothing handles {path}");
        }
        Ok(Methods { app, served: Arc::new(self.served), service: PhantomData })
    }
}

impl<S, A> Methods<S, A> {
    /// Each method's path, with the processes that may call it.
    pub fn callers(&self) -> impl Iterator<Item = (&'static str, Callers)> {
        self.served.iter().map(|(path, served)| (*path, served.callers))
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
        let answer = match self.served.get(request.uri().path()) {
            Some(served) => (served.serve)(self.app.clone(), request),
            None => Box::pin(async { Status::unimplemented("there is no such method").into_http() }),
        };
        Box::pin(async move { Ok(answer.await) })
    }
}

struct Unary<A, H> {
    app: A,
    handler: H,
}

impl<A, H, M> UnaryService<M> for Unary<A, H>
where
    A: Clone + Send + Sync + 'static,
    M: Method,
    H: for<'a> Handler<'a, A, M> + Copy + Send + Sync + 'static,
{
    type Response = M::Answer;
    type Future = BoxFuture<'static, Result<Response<M::Answer>, Status>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let (app, handler) = (self.app.clone(), self.handler);
        Box::pin(
            async move { handler(&app, request).await.map(Response::new).map_err(|error| to_status(&error)) },
        )
    }
}

struct Both<A, H> {
    app: A,
    handler: H,
}

impl<A, H, M, T> StreamingService<M> for Both<A, H>
where
    A: Clone + Send + Sync + 'static,
    M: StreamMethod,
    H: Fn(&A, Streaming<M>) -> Result<T> + Copy + Send + Sync + 'static,
    T: Stream<Item = std::result::Result<M::Answer, Status>> + Send + 'static,
{
    type Response = M::Answer;
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
    fn a_service_with_a_method_that_nothing_handles_is_not_served() {
        let error = Declared::<Onboarding, ()>::default().serve(()).unwrap_err();
        assert!(error.to_string().contains("/nno.onboarding.v1.Onboarding/ExplainPlatform"), "{error}");
        let served = Declared::default().method(&["registry"], explain).serve(()).unwrap();
        let callers: Vec<_> = served.callers().collect();
        assert_eq!(callers, [(ExplainPlatformRequest::PATH, &["registry"][..])]);
    }
}
