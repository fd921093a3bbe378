//! When the requests of an open loop are to start, whatever became of those before.

use std::time::Duration;

use super::keys::Random;

/// How the starts of requests lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// As far from each other, all of them.
    Even,
    /// As from callers that know nothing of each other: a Poisson process.
    Poisson,
}

/// The starts, from the beginning of a run, in order and without an end.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    rate: f64,
    number: u64,
    /// Seconds.
    last: f64,
    random: Random,
}

impl Schedule {
    /// So many starts a second, above 0.
    pub fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        Self { arrivals, rate, number: 0, last: 0.0, random: Random::new(seed) }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match self.arrivals {
            // multiplied, not added up: a million gaps that are each rounded would drift
            Arrivals::Even => self.number as f64 / self.rate,
            Arrivals::Poisson => {
                self.last -= self.random.unit().ln() / self.rate;
                self.last
            }
        };
        self.number += 1;
        Duration::try_from_secs_f64(at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_starts_do_not_drift() {
        let starts: Vec<Duration> = Schedule::new(Arrivals::Even, 1_000.0, 1).take(300_001).collect();
        assert_eq!(starts[0], Duration::ZERO);
        assert_eq!(starts[1], Duration::from_millis(1));
        assert_eq!(starts[300_000], Duration::from_mins(5));
        assert!(starts.windows(2).all(|pair| (pair[0] + Duration::from_millis(1)).abs_diff(pair[1]).as_nanos() <= 1));
        // a rate that divides no second
        let last = Schedule::new(Arrivals::Even, 3.0, 1).nth(3_000).expect("a start");
        assert_eq!(last, Duration::from_secs(1_000));
    }

    #[test]
    fn starts_of_a_poisson_process_have_its_gaps() {
        let starts: Vec<f64> =
            Schedule::new(Arrivals::Poisson, 500.0, 9).take(100_000).map(|start| start.as_secs_f64()).collect();
        let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean * 500.0 - 1.0).abs() < 0.02, "the mean gap is {mean}");
        // of an exponential distribution 1/e lies beyond the mean, and 1/e^3 beyond three times the mean
        for times in [1.0, 3.0_f64] {
            let beyond = gaps.iter().filter(|gap| **gap > times / 500.0).count() as f64 / gaps.len() as f64;
            assert!(
                (beyond / (-times).exp() - 1.0).abs() < 0.1,
                "{beyond} of the gaps are beyond {times} times the mean"
            );
        }
    }
}
