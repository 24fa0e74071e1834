//! Traces and metrics really leave the process, to a collector that speaks OTLP.

use std::time::Duration;

use runtime::telemetry::{self, Telemetry, TelemetrySettings};
use testkit::Collector;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_metrics_reach_the_collector_in_the_callers_trace() {
    let collector = Collector::serve().await;
    let settings = TelemetrySettings { log: "off".to_owned(), otlp_endpoint: collector.endpoint.clone() };
    let telemetry = Telemetry::start("registry", &settings).unwrap();
    let span = tracing::info_span!("http", trace_id = tracing::field::Empty);
    telemetry::continue_trace(&span, Some(PARENT));
    let passed_on = span.in_scope(telemetry::traceparent).unwrap();
    drop(span);
    telemetry::measure("nno.test.duration", &[], Duration::from_millis(5));
    // It waits for the collector's answer, so not on a thread that the collector may need.
    tokio::task::spawn_blocking(move || telemetry.flush()).await.unwrap();

    assert!(passed_on.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{passed_on}");
    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "http");
    let hex: String = spans[0].trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0af7651916cd43dd8448eb211c80319c", "the caller's trace goes on");
    let names: Vec<String> = collector.metrics().into_iter().map(|metric| metric.name).collect();
    assert!(names.contains(&"nno.test.duration".to_owned()), "{names:?}");
}
