//! A sample of rows that their places choose: the same rows every time, a fixed number at most, and no rhythm of the data
//! can lead it astray.

/// Chooses rows by a mixture of their numbers. When it has too many, the half with the greater mixtures is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    rows_max: usize,
    /// Rows whose mixture is greater are not in it.
    greatest: u64,
    next_row: u64,
}

impl Sampler {
    /// One that keeps at most `rows_max` rows, and half of them at least where there are so many.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows_max: rows_max.max(2), greatest: u64::MAX, next_row: 0 }
    }

    /// Whether rows were left out so far.
    pub(crate) fn is_partial(&self) -> bool {
        self.greatest < u64::MAX
    }

    /// Which of the next `rows` rows are in it, each with its mixture.
    pub(crate) fn choose(&mut self, rows: usize) -> Vec<(u32, u64)> {
        let first = self.next_row;
        self.next_row += rows as u64;
        let marked = (0..rows as u32).map(|row| (row, mixture(first + u64::from(row))));
        marked.filter(|(_, mark)| *mark <= self.greatest).collect()
    }

    /// Whether `kept` rows are too many; then those with a greater mixture than [`Sampler::keeps`] says must go.
    pub(crate) fn thin(&mut self, kept: usize) -> bool {
        let full = kept > self.rows_max;
        if full {
            self.greatest /= 2;
        }
        full
    }

    pub(crate) fn keeps(&self, mark: u64) -> bool {
        mark <= self.greatest
    }
}

/// A sample of numbers.
#[derive(Clone, Debug)]
pub(crate) struct NumberSample {
    sampler: Sampler,
    kept: Vec<(u64, i64)>,
}

impl NumberSample {
    pub(crate) fn new(numbers_max: usize) -> Self {
        Self { sampler: Sampler::new(numbers_max), kept: Vec::new() }
    }

    pub(crate) fn add(&mut self, number: i64) {
        for (_, mark) in self.sampler.choose(1) {
            self.kept.push((mark, number));
        }
        while self.sampler.thin(self.kept.len()) {
            self.kept.retain(|(mark, _)| self.sampler.keeps(*mark));
        }
    }

    /// In order.
    pub(crate) fn sorted(self) -> Vec<i64> {
        let mut numbers: Vec<i64> = self.kept.into_iter().map(|(_, number)| number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The value at `fraction` of sorted values: the least that so many of them do not exceed.
pub(crate) fn quantile<T: Copy>(sorted: &[T], fraction: f64) -> Option<T> {
    let rank = (fraction * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied()
}

/// The finisher of SplitMix64 (Steele, Lea and Flood, 2014): neighbours part at once.
pub(crate) fn mixture(row: u64) -> u64 {
    let mut z = row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_are_all_kept() {
        let mut sample = NumberSample::new(100);
        (0..100).rev().for_each(|number| sample.add(number));
        assert!(!sample.sampler.is_partial());
        let sorted = sample.sorted();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(
            [0.0, 0.01, 0.5, 0.95, 1.0].map(|fraction| quantile(&sorted, fraction)),
            [0, 0, 49, 94, 99].map(Some)
        );
        assert_eq!(quantile::<i64>(&[], 0.5), None);
    }

    #[test]
    fn many_numbers_leave_an_even_half_or_more() {
        let mut sample = NumberSample::new(4096);
        (0..1_000_000).for_each(|number| sample.add(number));
        assert!(sample.sampler.is_partial());
        let sorted = sample.clone().sorted();
        assert!((1800..=4096).contains(&sorted.len()), "{} kept", sorted.len());
        let median = quantile(&sorted, 0.5).expect("a median");
        assert!((450_000..550_000).contains(&median), "{median}");
        let mut again = NumberSample::new(4096);
        (0..1_000_000).for_each(|number| again.add(number));
        assert_eq!(again.sorted(), sorted, "the same every time");
    }

    #[test]
    fn batches_do_not_matter() {
        let whole = Sampler::new(8).choose(1000);
        let mut parts = Sampler::new(8);
        let mut chosen = parts.choose(400);
        chosen.extend(parts.choose(600).into_iter().map(|(row, mark)| (row + 400, mark)));
        assert_eq!(chosen, whole);
    }
}
