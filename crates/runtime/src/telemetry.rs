//! Logs as JSON lines, traces and metrics over OTLP when an endpoint is configured.

mod lines;

use std::{cell::RefCell, collections::HashMap, io, time::Duration};

use anyhow::{Context, Result};
use opentelemetry::{
    KeyValue, global,
    metrics::Histogram,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};
use utoipa::ToSchema;

/// The settings of logs, traces and metrics.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Log filter in the syntax of `tracing`'s `EnvFilter`, such as `info,registry=debug`.
    pub log: String,
    /// URL of an OTLP collector (gRPC), such as `http://127.0.0.1:4317`. Empty disables the export of traces and
    /// metrics.
    pub otlp_endpoint: String,
}

/// The telemetry of this process. Must be flushed before the process exits.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// Starts the logs of this process and, with an endpoint, the export of traces and metrics.
    ///
    /// # Errors
    /// When the filter or the endpoint is not valid, or telemetry was started before.
    pub fn start(service: &str, settings: &TelemetrySettings) -> Result<Self> {
        Self::start_with_writer(service, settings, io::stderr)
    }

    /// Does the same as [`Telemetry::start`] and writes the log lines to `writer`, each in one call.
    ///
    /// # Errors
    /// When the filter or the endpoint cannot be read, or telemetry was started before.
    pub fn start_with_writer<W>(service: &str, settings: &TelemetrySettings, writer: W) -> Result<Self>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let filter = EnvFilter::try_new(&settings.log).context("telemetry.log is not a valid filter")?;
        let resource = Resource::builder().with_service_name(service.to_owned()).build();
        let endpoint = Some(settings.otlp_endpoint.as_str()).filter(|endpoint| !endpoint.is_empty());
        let metrics = endpoint.map(|endpoint| meter(endpoint, resource.clone())).transpose()?;
        // Without an endpoint, spans still get ids, so that the logs and the audit log contain the trace id.
        let traces = tracer(endpoint, resource)?;
        let spans = tracing_opentelemetry::layer().with_tracer(traces.tracer("nno"));
        let logs = tracing_subscriber::fmt::layer()
            .fmt_fields(lines::Fields)
            .event_format(lines::Lines)
            .with_writer(writer)
            .with_filter(filter);
        tracing_subscriber::registry().with(logs).with(spans.with_filter(LevelFilter::INFO)).try_init()?;
        Ok(Self { traces: Some(traces), metrics })
    }

    /// Exports the remaining traces and metrics, for at most two seconds each.
    pub fn flush(mut self) {
        if let Some(traces) = self.traces.take() {
            let _ = traces.shutdown_with_timeout(Duration::from_secs(2));
        }
        if let Some(metrics) = self.metrics.take() {
            let _ = metrics.shutdown_with_timeout(Duration::from_secs(2));
        }
    }
}

fn tracer(endpoint: Option<&str>, resource: Resource) -> Result<SdkTracerProvider> {
    let mut provider = SdkTracerProvider::builder().with_resource(resource);
    if let Some(endpoint) = endpoint {
        let exporter =
            opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        provider = provider.with_batch_exporter(exporter);
    }
    Ok(provider.build())
}

fn meter(endpoint: &str, resource: Resource) -> Result<SdkMeterProvider> {
    let exporter =
        opentelemetry_otlp::MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let provider =
        SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(exporter).build();
    global::set_meter_provider(provider.clone());
    Ok(provider)
}

/// Returns the W3C trace context of the current span, if it has one.
pub fn traceparent() -> Option<String> {
    struct Parent(Option<String>);
    impl Injector for Parent {
        fn set(&mut self, key: &str, value: String) {
            if key == "traceparent" {
                self.0 = Some(value);
            }
        }
    }
    let mut parent = Parent(None);
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut parent);
    parent.0
}

/// Makes `span` a child of the trace in `traceparent`, and records the trace id in the span's `trace_id` field.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    struct Parent<'a>(&'a str);
    impl Extractor for Parent<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == "traceparent").then_some(self.0)
        }
        fn keys(&self) -> Vec<&str> {
            vec!["traceparent"]
        }
    }
    if let Some(parent) = traceparent {
        // A malformed parent starts a new trace, because tracing must not fail a request.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Parent(parent)));
    }
    let context = span.context();
    let trace = context.span().span_context().trace_id();
    if trace != opentelemetry::TraceId::INVALID {
        span.record("trace_id", trace.to_string());
    }
}

/// Records a duration in a histogram of seconds.
pub fn measure(histogram: &'static str, labels: &[KeyValue], took: Duration) {
    thread_local! {
        // A lookup in the meter takes a lock that all threads share.
        static HISTOGRAMS: RefCell<HashMap<&'static str, Histogram<f64>>> = RefCell::default();
    }
    let make = || global::meter("nno").f64_histogram(histogram).with_unit("s").build();
    HISTOGRAMS.with_borrow_mut(|histograms| {
        histograms.entry(histogram).or_insert_with(make).record(took.as_secs_f64(), labels);
    });
}

/// Adds to a counter.
pub fn add(name: &'static str, labels: &[KeyValue], amount: u64) {
    global::meter("nno").u64_counter(name).build().add(amount, labels);
}

/// Records the current value of a gauge.
pub fn gauge(name: &'static str, labels: &[KeyValue], value: u64) {
    global::meter("nno").u64_gauge(name).build().record(value, labels);
}
