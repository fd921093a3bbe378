//! Aliases of models: which version answers whom.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Name, Timestamp};

/// A movable name for one version of a model, or for several that share its traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The model.
    pub model: Name,
    /// The alias; never all digits.
    pub alias: Name,
    /// The version that it points at.
    pub version: u32,
    /// When it was moved there.
    pub moved_at: Timestamp,
    /// How its traffic is shared; empty where all of it goes to `version`. Sorted by version.
    #[serde(default)]
    pub split: Vec<Share>,
    /// A version whose features are fetched and measured as well, and not returned.
    #[serde(default)]
    pub shadow: Option<u32>,
}

/// A version's share of an alias's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Share {
    /// The version.
    pub version: u32,
    /// Its weight among all weights; at least 1. They need not make a hundred.
    pub weight: u32,
}

/// How an alias's traffic is to be shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The shares; none sends everything to the alias's own version.
    pub split: Vec<Share>,
    /// The version that is measured and not returned, if there is one.
    pub shadow: Option<u32>,
}

impl Traffic {
    /// The same with its shares sorted by version, or what is wrong with it.
    pub fn checked(mut self) -> Result<Self, String> {
        self.split.sort_unstable();
        if let Some(pair) = self.split.windows(2).find(|pair| pair[0].version == pair[1].version) {
            return Err(format!("version {} stands twice in the split", pair[0].version));
        }
        if let Some(share) = self.split.iter().find(|share| share.weight == 0) {
            return Err(format!("version {} has the weight 0: leave it out of the split", share.version));
        }
        Ok(self)
    }

    /// Every version that it names, the shadow last.
    pub fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = self.split.iter().map(|share| share.version).collect();
        versions.extend(self.shadow.filter(|shadow| !versions.contains(shadow)));
        versions
    }
}

impl Alias {
    /// An alias whose traffic all goes to one version.
    pub fn new(model: Name, alias: Name, version: u32, moved_at: Timestamp) -> Self {
        Self { model, alias, version, moved_at, split: Vec::new(), shadow: None }
    }

    /// The version that answers a request with this routing key: always the same one while the split stays as it is, and
    /// over many keys each version in proportion to its weight.
    ///
    /// The first eight bytes of SHA-256 over model, alias and key, each but the last behind its length, are a number in
    /// [0, 2^64), which is mapped to [0, sum of weights). Shares lie there one after the other by version, so that a change
    /// of weights moves no more keys than it must at each border.
    pub fn choose(&self, routing_key: &[u8]) -> u32 {
        let total: u128 = self.split.iter().map(|share| u128::from(share.weight)).sum();
        let mut place = (u128::from(self.hash(routing_key)) * total) >> 64;
        for share in &self.split {
            match place.checked_sub(u128::from(share.weight)) {
                None => return share.version,
                Some(rest) => place = rest,
            }
        }
        self.version
    }

    fn hash(&self, routing_key: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        for name in [&self.model, &self.alias] {
            hash.update((name.as_str().len() as u64).to_be_bytes());
            hash.update(name.as_str());
        }
        hash.update(routing_key);
        let digest: [u8; 32] = hash.finalize().into();
        digest[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u32 = 20_000;

    fn alias(split: &[(u32, u32)]) -> Alias {
        let name = |text: &str| text.parse().expect("a name");
        let split = split.iter().map(|&(version, weight)| Share { version, weight }).collect();
        Alias { split, ..Alias::new(name("late"), name("champion"), 7, Timestamp(0)) }
    }

    fn chosen(alias: &Alias) -> Vec<u32> {
        (0..KEYS).map(|key| alias.choose(format!("N{key}").as_bytes())).collect()
    }

    #[test]
    fn shares_are_within_one_point_of_their_weights() {
        for split in [&[(1, 90), (2, 10)][..], &[(1, 1), (2, 1), (3, 2)], &[(4, 999), (5, 1)]] {
            let total: u32 = split.iter().map(|(_, weight)| weight).sum();
            let chosen = chosen(&alias(split));
            for (version, weight) in split {
                let count = chosen.iter().filter(|found| *found == version).count();
                let (share, wanted) = (count as f64 / f64::from(KEYS), f64::from(*weight) / f64::from(total));
                assert!((share - wanted).abs() < 0.01, "version {version}: {share}, not {wanted}");
            }
        }
    }

    #[test]
    fn a_key_keeps_its_version_and_weights_move_only_their_part() {
        let ten = chosen(&alias(&[(1, 90), (2, 10)]));
        assert_eq!(ten, chosen(&alias(&[(1, 90), (2, 10)])));
        let twenty = chosen(&alias(&[(1, 80), (2, 20)]));
        let moved: Vec<_> = ten.iter().zip(&twenty).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|pair| *pair == (&1, &2)), "nobody is taken from the growing share");
        assert!((moved.len() as f64 / f64::from(KEYS) - 0.1).abs() < 0.01, "{}", moved.len());
    }

    #[test]
    fn the_choice_is_fixed_for_ever() {
        // a server of another version must send the same key to the same model version
        let half = alias(&[(1, 1), (2, 1)]);
        let first: Vec<u32> = (0..12).map(|key| half.choose(format!("N{key}").as_bytes())).collect();
        assert_eq!(first, CHOSEN);
        assert_eq!(alias(&[]).choose(b"N1"), 7, "without a split everything goes to the alias's version");
        assert_eq!(alias(&[(3, u32::MAX)]).choose(b""), 3);
    }

    const CHOSEN: [u32; 12] = [1, 1, 1, 1, 1, 1, 2, 2, 1, 2, 2, 2];

    #[test]
    fn a_split_names_each_version_once_with_a_weight() {
        let traffic = |split: &[(u32, u32)], shadow| Traffic { split: alias(split).split, shadow };
        let sorted = traffic(&[(2, 10), (1, 90)], Some(3)).checked().expect("a split");
        assert_eq!((sorted.split, sorted.shadow), (alias(&[(1, 90), (2, 10)]).split, Some(3)));
        let twice = traffic(&[(1, 5), (2, 5), (1, 90)], None).checked();
        assert_eq!(twice, Err("version 1 stands twice in the split".to_owned()));
        let nothing = traffic(&[(1, 0)], None).checked();
        assert_eq!(nothing, Err("version 1 has the weight 0: leave it out of the split".to_owned()));
        assert_eq!(traffic(&[(1, 90), (2, 10)], Some(2)).versions(), [1, 2]);
    }
}
