//! What was measured, as people read it.

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// Per second.
    pub(crate) rate: f64,
    /// The median time of one, in microseconds.
    pub(crate) p50: u64,
    /// The time that one in a hundred takes longer than, in microseconds.
    pub(crate) p99: u64,
    /// Processor time of the server for each, in microseconds, where there is one server.
    pub(crate) cpu: Option<u64>,
}

/// What does without us what is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// The same statements by pgbench, against the registry.
    Postgres,
    /// nginx in front of the registry, against the gateway.
    Nginx,
}

/// The measurements of one operation: without us, and with us right after.
#[derive(Debug)]
struct Series {
    against: Against,
    operation: &'static str,
    pairs: Vec<(Figure, Figure)>,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    series: Vec<Series>,
    /// Resident memory at the end, in MiB.
    pub(crate) memory: Vec<(&'static str, u64)>,
}

impl Report {
    /// Adds a pair that was measured one right after the other.
    pub(crate) fn add(&mut self, against: Against, operation: &'static str, them: Figure, us: Figure) {
        let known = self.series.iter_mut().find(|one| one.against == against && one.operation == operation);
        match known {
            Some(series) => series.pairs.push((them, us)),
            None => self.series.push(Series { against, operation, pairs: vec![(them, us)] }),
        }
    }

    pub(crate) fn print(&self, rows: u32) {
        line(format_args!("\n{rows} platforms\n"));
        line(format_args!(
            "| | alone: /s | p50 ms | p99 ms | with nno: /s | p50 ms | p99 ms | CPU us | ratio |"
        ));
        line(format_args!("|---|--:|--:|--:|--:|--:|--:|--:|--:|"));
        for Series { against, operation, pairs } in &self.series {
            let what = match against {
                Against::Postgres => format!("{operation}: pgbench, registry"),
                Against::Nginx => format!("{operation}: nginx, gateway"),
            };
            let them = median_of(pairs.iter().map(|pair| pair.0).collect());
            let us = median_of(pairs.iter().map(|pair| pair.1).collect());
            let mut ratios: Vec<f64> = pairs.iter().map(|(them, us)| us.rate / them.rate).collect();
            ratios.sort_by(f64::total_cmp);
            let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
            line(format_args!(
                "| {what} | {} | {} | {} | {ratio:.2} |",
                cells(them),
                cells(us),
                us.cpu.unwrap_or_default()
            ));
        }
        for (process, mib) in &self.memory {
            line(format_args!("\n{process}: {mib} MiB resident"));
        }
    }
}

fn median_of(mut figures: Vec<Figure>) -> Figure {
    figures.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    figures.get(figures.len() / 2).copied().unwrap_or(Figure { rate: 0.0, p50: 0, p99: 0, cpu: None })
}

fn cells(figure: Figure) -> String {
    let ms = |micros: u64| micros as f64 / 1000.0;
    format!("{:.0} | {:.2} | {:.2}", figure.rate, ms(figure.p50), ms(figure.p99))
}

#[expect(clippy::print_stdout, reason = "what the command was asked for")]
fn line(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}
