//! The export of traces and metrics to an OTLP collector.

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
    let propagated = span.in_scope(telemetry::traceparent).unwrap();
    drop(span);
    telemetry::measure("nno.test.duration", &[], Duration::from_millis(5));
    // Flushing blocks until the collector responds, so it must not use a thread that the collector may need.
    tokio::task::spawn_blocking(move || telemetry.flush()).await.unwrap();

    assert!(propagated.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{propagated}");
    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "http");
    let hex: String = spans[0].trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0af7651916cd43dd8448eb211c80319c", "the span continues the caller's trace");
    let names: Vec<String> = collector.metrics().into_iter().map(|metric| metric.name).collect();
    assert!(names.contains(&"nno.test.duration".to_owned()), "{names:?}");
}
