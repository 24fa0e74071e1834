//! Log lines, each a JSON object.
//!
//! The fields of a span are formatted once, to the text that every line inside the span contains. The library's own
//! formatter parses that text again for each line, which was a large part of the cost of a response.

use std::{
    fmt::{self, Debug},
    io, str,
};

use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Formats an event as a line, with its spans, outermost first.
pub(super) struct Lines;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, Fields> for Lines {
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, Fields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Events of the `log` crate have their origin in their fields.
        let foreign = event.normalized_metadata();
        let meta = foreign.as_ref().unwrap_or_else(|| event.metadata());
        writer.write_str(r#"{"timestamp":""#)?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, r#"","level":"{}","target":"#, meta.level())?;
        json(&mut writer, meta.target())?;
        let mut fields = Pairs { writer: writer.by_ref(), needs_comma: true, outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome?;
        if let Some(scope) = ctx.event_scope() {
            writer.write_str(r#","spans":["#)?;
            for (n, span) in scope.from_root().enumerate() {
                let extensions = span.extensions();
                let fields =
                    extensions.get::<FormattedFields<Fields>>().map_or("", |fields| fields.fields.as_str());
                let (open, comma) =
                    (if n == 0 { "{" } else { ",{" }, if fields.is_empty() { "" } else { "," });
                write!(writer, r#"{open}{fields}{comma}"name":"{}"}}"#, span.name())?;
            }
            writer.write_char(']')?;
        }
        writer.write_str("}\n")
    }
}

/// Formats fields as the members of a JSON object, without its braces.
pub(super) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut pairs = Pairs { writer, needs_comma: false, outcome: Ok(()) };
        fields.record(&mut pairs);
        pairs.outcome
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let needs_comma = !current.fields.is_empty();
        let mut pairs = Pairs { writer: current.as_writer(), needs_comma, outcome: Ok(()) };
        fields.record(&mut pairs);
        pairs.outcome
    }
}

struct Pairs<'w> {
    writer: Writer<'w>,
    /// True if the next pair follows another.
    needs_comma: bool,
    outcome: fmt::Result,
}

impl Pairs<'_> {
    fn pair(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = self.write(field.name(), value);
        }
    }

    fn write(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> fmt::Result {
        if std::mem::replace(&mut self.needs_comma, true) {
            self.writer.write_char(',')?;
        }
        json(&mut self.writer, name)?;
        self.writer.write_char(':')?;
        json(&mut self.writer, value)
    }
}

impl Visit for Pairs<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.pair(field, &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pair(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pair(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.pair(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.pair(field, &value);
    }
}

fn json(writer: &mut Writer<'_>, value: &(impl Serialize + ?Sized)) -> fmt::Result {
    serde_json::to_writer(Bytes(writer), value).map_err(|_why| fmt::Error)
}

/// Adapter from bytes to text. serde_json writes whole characters at a time.
struct Bytes<'a, 'w>(&'a mut Writer<'w>);

impl io::Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::field::Empty;
    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the lines that `action` logs, without their timestamps.
    fn lines(action: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = fmt::layer().fmt_fields(Fields).event_format(Lines).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), action);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                let at = line.as_object_mut().unwrap().remove("timestamp").unwrap();
                chrono::DateTime::parse_from_rfc3339(at.as_str().unwrap()).unwrap();
                line
            })
            .collect()
    }

    #[test]
    fn every_line_is_a_json_object() {
        let strange = "quote \" backslash \\ newline \n bell \u{7} umlaut ü";
        let logged = lines(|| {
            let outer = tracing::info_span!("http", request_id = strange, trace_id = Empty, method = "GET");
            outer.record("trace_id", "0af7");
            let _outer = outer.enter();
            let _plain = tracing::info_span!("plain", late = Empty).entered();
            tracing::info!(target: "access", status = 200_u16, ms = 1.5, less = -1, yes = true, "answered");
            tracing::warn!(context = %strange, debug = ?Some("\"x\""), not_a_number = f64::NAN, "{strange}");
        });
        let spans = json!([
            { "request_id": strange, "method": "GET", "trace_id": "0af7", "name": "http" },
            { "name": "plain" },
        ]);
        assert_eq!(
            logged,
            [
                json!({
                    "level": "INFO", "target": "access", "message": "answered", "status": 200, "ms": 1.5,
                    "less": -1, "yes": true, "spans": spans,
                }),
                json!({
                    "level": "WARN", "target": module_path!(), "message": strange, "context": strange,
                    "debug": "Some(\"\\\"x\\\"\")", "not_a_number": null, "spans": spans,
                }),
            ]
        );
    }

    #[test]
    fn event_outside_of_spans_has_no_spans() {
        let logged = lines(|| tracing::error!("alone"));
        assert_eq!(logged, [json!({ "level": "ERROR", "target": module_path!(), "message": "alone" })]);
    }

    #[test]
    fn first_field_of_a_span_has_no_comma() {
        let logged = lines(|| {
            let span = tracing::info_span!("empty", late = Empty);
            span.record("late", 7);
            span.in_scope(|| tracing::info!("inside"));
        });
        assert_eq!(logged[0]["spans"], json!([{ "late": 7, "name": "empty" }]));
    }
}
