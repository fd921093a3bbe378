//! Numbers that can be compared: neither infinite nor NaN.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A finite number of 64 bits: a metric, a cost, a bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finite(f64);

impl Finite {
    /// `value`, unless it is infinite or NaN. Minus zero becomes zero.
    pub fn new(value: f64) -> Result<Self, NotFinite> {
        if value.is_finite() { Ok(Self(value + 0.0)) } else { Err(NotFinite(value.to_string())) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// A text or number that is not finite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a finite number: write it like 0.71")]
pub struct NotFinite(String);

impl FromStr for Finite {
    type Err = NotFinite;

    fn from_str(text: &str) -> Result<Self, NotFinite> {
        let wrong = || NotFinite(text.to_owned());
        Self::new(text.trim().parse().map_err(|_| wrong())?).map_err(|_| wrong())
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Finite {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Finite {}

impl Serialize for Finite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_refused() {
        for bad in ["NaN", "inf", "-inf", "1e999", "", "0,7"] {
            assert!(bad.parse::<Finite>().is_err(), "{bad} must be refused");
        }
        let number = |text: &str| text.parse::<Finite>().expect("a number");
        assert_eq!(number("-0.0"), number("0"));
        assert!(number("-0.01") < number("0.7") && number("1e3") > number("999.9"));
        assert_eq!(serde_json::from_str::<Finite>("0.71").expect("reads").to_string(), "0.71");
    }
}
