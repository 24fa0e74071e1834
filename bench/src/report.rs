//! Tables of the results.

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// Operations per second.
    pub(crate) rate: f64,
    /// Median latency in microseconds.
    pub(crate) p50: u64,
    /// 99th percentile of the latency in microseconds.
    pub(crate) p99: u64,
    /// Processor time of the server per operation in microseconds, if there is one server.
    pub(crate) cpu: Option<u64>,
}

/// Measurements of one pair: the baseline and the system, one directly after the other.
#[derive(Debug)]
struct Series {
    pair: &'static str,
    baseline: Vec<Figure>,
    system: Vec<Figure>,
}

impl Series {
    /// Returns the median ratio of the pairs: a temporary slowdown of the machine affects both of a pair.
    fn ratio(&self) -> f64 {
        let mut ratios: Vec<f64> = self
            .baseline
            .iter()
            .zip(&self.system)
            .map(|(baseline, system)| system.rate / baseline.rate)
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    series: Vec<Series>,
    /// Latency that nginx and the gateway each add to a request, in microseconds.
    pub(crate) added: Vec<(u64, u64)>,
    /// Resident memory at the end, in MiB.
    pub(crate) memory: Vec<(&'static str, u64)>,
}

impl Report {
    /// Adds a pair of measurements.
    pub(crate) fn add(&mut self, pair: &'static str, baseline: Figure, system: Figure) {
        match self.series.iter_mut().find(|one| one.pair == pair) {
            Some(series) => {
                series.baseline.push(baseline);
                series.system.push(system);
            }
            None => self.series.push(Series { pair, baseline: vec![baseline], system: vec![system] }),
        }
    }

    /// Prints the pairs, of which `sides` names the first and the second.
    pub(crate) fn print(&self, rows: u32, sides: [&str; 2]) {
        let [first, second] = sides;
        line(format_args!("\n{rows} platforms\n"));
        line(format_args!(
            "| | {first}: /s | p50 ms | p99 ms | {second}: /s | p50 ms | p99 ms | CPU us | ratio |"
        ));
        line(format_args!("|---|--:|--:|--:|--:|--:|--:|--:|--:|"));
        for series in &self.series {
            let (baseline, system) = (median_of(&series.baseline), median_of(&series.system));
            line(format_args!(
                "| {} | {} | {} | {} | {:.2} |",
                series.pair,
                cells(baseline),
                cells(system),
                system.cpu.unwrap_or_default(),
                series.ratio()
            ));
        }
        let mut added = self.added.clone();
        added.sort_by(|(nginx, gateway), (other_nginx, other)| (gateway * other_nginx).cmp(&(other * nginx)));
        if let Some((nginx, gateway)) = added.get(added.len() / 2) {
            let ratio = *gateway as f64 / *nginx as f64;
            line(format_args!(
                "\nadded to a get, one at a time: nginx {nginx} us, gateway {gateway} us, ratio {ratio:.2}"
            ));
        }
        for (process, mib) in &self.memory {
            line(format_args!("\n{process}: {mib} MiB resident"));
        }
    }

    /// Prints the slowdown of each pair with more rows.
    pub(crate) fn print_slowdown(&self, fewer: &Self, rows: u32, few: u32) {
        line(format_args!("\n{rows} platforms compared with {few}: slowdown factor\n"));
        line(format_args!("| | alone | with nno |"));
        line(format_args!("|---|--:|--:|"));
        for (many, few) in self.series.iter().zip(&fewer.series) {
            let slower = |few: &[Figure], many: &[Figure]| median_of(few).rate / median_of(many).rate;
            line(format_args!(
                "| {} | {:.2} | {:.2} |",
                many.pair,
                slower(&few.baseline, &many.baseline),
                slower(&few.system, &many.system)
            ));
        }
    }
}

fn median_of(figures: &[Figure]) -> Figure {
    let mut figures = figures.to_vec();
    figures.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    figures.get(figures.len() / 2).copied().unwrap_or(Figure { rate: 0.0, p50: 0, p99: 0, cpu: None })
}

fn cells(figure: Figure) -> String {
    let ms = |micros: u64| micros as f64 / 1000.0;
    format!("{:.0} | {:.2} | {:.2}", figure.rate, ms(figure.p50), ms(figure.p99))
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}
