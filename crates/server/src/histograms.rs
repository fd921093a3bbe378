//! Histograms of what happens with every request, counted into their buckets at once.
//!
//! The recorder keeps each sample with its moment until somebody sorts them; a read of a hundred entities brings five hundred
//! ages, and thousands of reads come in a second.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// No histogram has more bounds.
const BOUNDS_MAX: usize = 24;

/// A name, what it stands for, and its bounds in growing order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) bounds: &'static [f64],
}

/// One series. What is recorded counts below the first bound that it does not exceed.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// For each bound, and beyond the last.
    counts: [AtomicU64; BOUNDS_MAX + 1],
    /// The bits of a float.
    sum: AtomicU64,
}

/// Samples that are added to a histogram together, when they are dropped.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    histogram: &'a Histogram,
    counts: [u64; BOUNDS_MAX + 1],
    sum: f64,
}

/// All of them, by name and then as they were made.
#[derive(Debug, Default)]
pub(crate) struct Histograms(Mutex<BTreeMap<&'static str, Family>>);

#[derive(Debug)]
struct Family {
    kind: Kind,
    series: Vec<(String, Arc<Histogram>)>,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let bounds = &bounds[..bounds.len().min(BOUNDS_MAX)];
        Self { bounds, counts: [const { AtomicU64::new(0) }; BOUNDS_MAX + 1], sum: AtomicU64::new(0) }
    }

    /// One sample.
    pub(crate) fn record(&self, value: f64) {
        self.counts[self.place(value)].fetch_add(1, Ordering::Relaxed);
        self.add(value);
    }

    /// Many samples.
    pub(crate) fn samples(&self) -> Samples<'_> {
        Samples { histogram: self, counts: [0; BOUNDS_MAX + 1], sum: 0.0 }
    }

    fn place(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    fn add(&self, value: f64) {
        let added = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // it never refuses
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, within) in self.bounds.iter().zip(&self.counts) {
            count += within.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        count += self.counts[self.bounds.len()].load(Ordering::Relaxed);
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
    }
}

impl Samples<'_> {
    pub(crate) fn add(&mut self, value: f64) {
        self.counts[self.histogram.place(value)] += 1;
        self.sum += value;
    }
}

impl Drop for Samples<'_> {
    fn drop(&mut self) {
        let mut is_empty = true;
        for (total, count) in self.histogram.counts.iter().zip(self.counts) {
            if count > 0 {
                total.fetch_add(count, Ordering::Relaxed);
                is_empty = false;
            }
        }
        if !is_empty {
            self.histogram.add(self.sum);
        }
    }
}

impl Histograms {
    /// The series of `kind` with these labels, made where there is none.
    pub(crate) fn of(&self, kind: Kind, labels: &[(&str, &str)]) -> Arc<Histogram> {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(kind.name).or_insert_with(|| Family { kind, series: Vec::new() });
        if let Some((_, known)) = family.series.iter().find(|(known, _)| *known == labels) {
            return Arc::clone(known);
        }
        let made = Arc::new(Histogram::new(kind.bounds));
        family.series.push((labels, Arc::clone(&made)));
        made
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn render(&self, out: &mut String) {
        for Family { kind: Kind { name, help, .. }, series } in
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values()
        {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
            for (labels, histogram) in series {
                histogram.render(out, name, labels);
            }
            out.push('\n');
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Kind = Kind { name: "wait_seconds", help: "how long", bounds: &[0.5, 1.0, 60.0] };

    #[test]
    fn samples_are_counted_below_the_bounds_that_they_do_not_exceed() {
        let all = Histograms::default();
        let series = all.of(WAIT, &[("view", "a@1"), ("phase", "own")]);
        series.record(0.5);
        let mut samples = series.samples();
        for value in [0.25, 1.0, 1.25, 61.0] {
            samples.add(value);
        }
        drop(samples);
        drop(all.of(WAIT, &[("view", "a@1"), ("phase", "own")]).samples());
        let mut text = String::new();
        all.render(&mut text);
        let expected = "\
# HELP wait_seconds how long
# TYPE wait_seconds histogram
wait_seconds_bucket{view=\"a@1\",phase=\"own\",le=\"0.5\"} 2
wait_seconds_bucket{view=\"a@1\",phase=\"own\",le=\"1\"} 3
wait_seconds_bucket{view=\"a@1\",phase=\"own\",le=\"60\"} 4
wait_seconds_bucket{view=\"a@1\",phase=\"own\",le=\"+Inf\"} 5
wait_seconds_sum{view=\"a@1\",phase=\"own\"} 64
wait_seconds_count{view=\"a@1\",phase=\"own\"} 5

";
        assert_eq!(text, expected);
    }
}
