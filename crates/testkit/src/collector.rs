//! A collector that speaks OTLP and keeps what it is sent.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    metrics::v1::Metric,
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A collector that runs.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    /// Where it is, as settings have it.
    pub endpoint: String,
    sent: Arc<Mutex<Sent>>,
}

#[derive(Debug, Default)]
struct Sent {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

impl Collector {
    /// Starts one on a free port.
    pub async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a collector");
        let address = listener.local_addr().expect("a collector");
        let collector = Self { endpoint: format!("http://{address}"), ..Self::default() };
        let server = Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        collector
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let sent = self.sent.lock().expect("the collector");
        let resources = sent.traces.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|one| &one.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The metrics so far.
    pub fn metrics(&self) -> Vec<Metric> {
        let sent = self.sent.lock().expect("the collector");
        let resources = sent.metrics.iter().flat_map(|request| &request.resource_metrics);
        resources.flat_map(|one| &one.scope_metrics).flat_map(|scope| scope.metrics.clone()).collect()
    }

    /// All that it was sent, as text.
    pub fn text(&self) -> String {
        format!("{:?}", self.sent.lock().expect("the collector"))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.sent.lock().expect("the collector").traces.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.sent.lock().expect("the collector").metrics.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
