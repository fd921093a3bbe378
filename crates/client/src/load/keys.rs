//! Which keys are asked for: each as often as every other, or few of them often.

/// Numbers that look random, the same for the same seed: `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// How often each key is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    /// Each as often as every other.
    Uniform,
    /// By Zipf's law with this exponent, above 0: the key of rank `k` as often as `1 / k^exponent` says.
    Zipf(f64),
}

/// The keys `[0, count)` with their popularity.
#[derive(Clone, Debug)]
pub struct Keys {
    count: u64,
    zipf: Option<Zipf>,
}

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of one request, whatever became of the others.
    pub fn of(seed: u64, number: u64) -> Self {
        // neighbours must not give the same numbers one step apart
        Self(Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95)).bits())
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `[0, bound)`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number of `(0, 1]`.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

impl Keys {
    /// A prime above every count: the ranks of a law are spread with it, so that keys that are asked for often are no
    /// neighbours in a store that sorts.
    const SPREAD: u64 = 4_294_967_311;

    /// The keys `[0, count)`; at least one, at most 2^32.
    pub fn new(count: u64, popularity: Popularity) -> Self {
        let count = count.clamp(1, 1 << 32);
        let zipf = match popularity {
            Popularity::Uniform => None,
            Popularity::Zipf(exponent) => Some(Zipf::new(count, exponent)),
        };
        Self { count, zipf }
    }

    /// One of them.
    pub fn draw(&self, random: &mut Random) -> i64 {
        let key = match &self.zipf {
            None => random.below(self.count),
            Some(zipf) => self.of_rank(zipf.rank(random)),
        };
        key as i64
    }

    /// The key of a rank of `[1, count]`.
    fn of_rank(&self, rank: u64) -> u64 {
        ((u128::from(rank - 1) * u128::from(Self::SPREAD)) % u128::from(self.count)) as u64
    }
}

/// Zipf's law over the ranks `[1, count]`, by rejection-inversion (Hörmann and Derflinger 1996): a rank takes the same
/// short time and no table, however many there are.
///
/// `x^-exponent` is integrated in the place of the sum: a point of the area under the curve is drawn, and the rank that is
/// nearest to it taken, unless the point lies in what the curve has beyond the ranks' own bars.
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    /// The area's ends.
    area: (f64, f64),
    /// A point so close above its rank is always within the rank's bar.
    close: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut zipf = Self { count: count as f64, exponent, area: (0.0, 0.0), close: 0.0 };
        zipf.area = (zipf.integral(1.5) - 1.0, zipf.integral(zipf.count + 0.5));
        zipf.close = 2.0 - zipf.integral_inverse(zipf.integral(2.5) - zipf.height(2.0));
        zipf
    }

    fn rank(&self, random: &mut Random) -> u64 {
        let (low, high) = self.area;
        loop {
            let point = high + random.unit() * (low - high);
            let x = self.integral_inverse(point);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.close || point >= self.integral(rank + 0.5) - self.height(rank) {
                return rank as u64;
            }
        }
    }

    fn height(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// `(x^(1 - exponent) - 1) / (1 - exponent)`, and `ln x` where the exponent is 1, without a jump between the two.
    fn integral(&self, x: f64) -> f64 {
        let ln = x.ln();
        let t = (1.0 - self.exponent) * ln;
        // the series of (e^t - 1) / t, where the quotient would lose its digits
        let quotient = if t.abs() > 1e-8 { t.exp_m1() / t } else { 1.0 + t / 2.0 };
        quotient * ln
    }

    fn integral_inverse(&self, area: f64) -> f64 {
        // rounding may take it below the curve's end
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        let quotient = if t.abs() > 1e-8 { t.ln_1p() / t } else { 1.0 - t / 2.0 };
        (quotient * area).exp()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DRAWS: u32 = 200_000;

    /// How often each of `expected` comes in [`DRAWS`], within six standard deviations.
    fn agree(drawn: &[u32], expected: &[f64], what: &str) {
        assert_eq!(drawn.iter().sum::<u32>(), DRAWS);
        for (place, (drawn, share)) in drawn.iter().zip(expected).enumerate() {
            let mean = share * f64::from(DRAWS);
            let deviation = (mean * (1.0 - share)).sqrt();
            let off = (f64::from(*drawn) - mean).abs();
            assert!(off <= 6.0 * deviation + 1e-9, "{what}: {place} came {drawn} times, and {mean:.0} are expected");
        }
    }

    #[test]
    fn ranks_come_as_often_as_zipfs_law_says() {
        for exponent in [0.5, 0.99, 1.0, 1.000_000_001, 2.0] {
            for count in [1_u32, 2, 3, 50] {
                let weights: Vec<f64> = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
                let sum: f64 = weights.iter().sum();
                let expected: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
                let zipf = Zipf::new(count.into(), exponent);
                let mut random = Random::new(41);
                let mut drawn = vec![0; count as usize];
                for _ in 0..DRAWS {
                    drawn[zipf.rank(&mut random) as usize - 1] += 1;
                }
                agree(&drawn, &expected, &format!("exponent {exponent} of {count}"));
            }
        }
    }

    #[test]
    fn of_a_million_keys_the_first_comes_as_often_as_the_law_says() {
        let sum: f64 = (1..=1_000_000).map(|rank| 1.0 / f64::from(rank)).sum();
        let keys = Keys::new(1_000_000, Popularity::Zipf(1.0));
        let mut random = Random::new(7);
        let first = (0..DRAWS).filter(|_| keys.draw(&mut random) == 0).count() as u32;
        agree(&[first, DRAWS - first], &[1.0 / sum, 1.0 - 1.0 / sum], "the first of a million");
    }

    #[test]
    fn uniform_keys_come_alike_often() {
        let keys = Keys::new(10, Popularity::Uniform);
        let mut drawn = [0; 10];
        for number in 0..u64::from(DRAWS) {
            // a request's own generator, as a run has it
            drawn[keys.draw(&mut Random::of(3, number)) as usize] += 1;
        }
        agree(&drawn, &[0.1; 10], "uniform");
    }

    #[test]
    fn spreading_ranks_leaves_no_key_out() {
        for count in [1, 2, 10, 1_000, 65_536, 99_999] {
            let keys = Keys::new(count, Popularity::Zipf(1.0));
            let spread: BTreeSet<u64> = (1..=count).map(|rank| keys.of_rank(rank)).collect();
            assert_eq!((spread.len() as u64, spread.last()), (count, Some(&(count - 1))));
        }
        assert_eq!(Keys::new(0, Popularity::Uniform).draw(&mut Random::new(1)), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let first = |seed, number| Random::of(seed, number).bits();
        assert_eq!(first(1, 2), first(1, 2));
        let numbers: BTreeSet<u64> = (0..1_000).map(|number| first(1, number)).collect();
        assert_eq!(numbers.len(), 1_000);
        assert_ne!(first(1, 2), first(2, 2));
        // the reference's first number for the seed 0
        assert_eq!(Random::new(0).bits(), 0xe220_a839_7b1d_cdaf);
        let mut random = Random::new(5);
        assert!((0..10_000).map(|_| random.unit()).all(|unit| unit > 0.0 && unit <= 1.0));
    }
}
