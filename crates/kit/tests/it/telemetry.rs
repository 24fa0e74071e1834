//! Traces and metrics really leave the process, to a collector that speaks OTLP.

use std::{sync::Arc, time::Duration};

use kit::telemetry::{self, Telemetry, TelemetrySettings};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio::sync::Mutex;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces.lock().await.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().await.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_metrics_reach_the_collector_in_the_callers_trace() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .add_service(MetricsServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);

    let settings = TelemetrySettings { log: "off".to_owned(), otlp_endpoint: endpoint };
    let telemetry = Telemetry::start("registry", &settings).unwrap();
    let span = tracing::info_span!("http", trace_id = tracing::field::Empty);
    telemetry::continue_trace(&span, Some(PARENT));
    let passed_on = span.in_scope(telemetry::traceparent).unwrap();
    drop(span);
    telemetry::measure("nno.test.duration", &[], Duration::from_millis(5));
    // It waits for the collector's answer, so not on a thread that the collector may need.
    tokio::task::spawn_blocking(move || telemetry.flush()).await.unwrap();

    assert!(passed_on.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{passed_on}");
    let traces = collector.traces.lock().await;
    let spans: Vec<_> = traces
        .iter()
        .flat_map(|sent| &sent.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "http");
    let hex: String = spans[0].trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0af7651916cd43dd8448eb211c80319c", "the caller's trace goes on");
    let metrics = collector.metrics.lock().await;
    let names: Vec<_> = metrics
        .iter()
        .flat_map(|sent| &sent.resource_metrics)
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .map(|metric| metric.name.as_str())
        .collect();
    assert!(names.contains(&"nno.test.duration"), "{names:?}");
}
