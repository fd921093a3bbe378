//! Time as the contract has it: UTC microseconds, and arithmetic that saturates.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment: microseconds since 1970-01-01T00:00:00Z, negative before it. Arithmetic saturates, never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest moment that can be said.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment that can be said.
    pub const MAX: Self = Self(i64::MAX);

    /// This moment and `span` later, at most [`Timestamp::MAX`].
    pub fn saturating_add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.micros()))
    }

    /// This moment and `span` earlier, at least [`Timestamp::MIN`].
    pub fn saturating_sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.micros()))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }
}

/// RFC 3339 in UTC with as many decimals as needed; `<n> us` for years that a calendar cannot say.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(t) => f.write_str(&t.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} us", self.0),
        }
    }
}

/// `2013-07-01T12:00:00Z`, with any offset; without one it means UTC; a date alone means its midnight.
impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if let Ok(t) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self(t.timestamp_micros()));
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
            if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
                return Ok(Self(t.and_utc().timestamp_micros()));
            }
        }
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .and_then(|d| d.and_hms_opt(0, 0, 0))
            .map(|t| Self(t.and_utc().timestamp_micros()))
            .ok_or_else(|| TimeError::Moment(text.to_owned()))
    }
}

/// A length of time in microseconds, never negative: a ttl, a delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `micros` microseconds, or an error when negative.
    pub fn from_micros(micros: i64) -> Result<Self, TimeError> {
        if micros < 0 { Err(TimeError::Negative(micros)) } else { Ok(Self(micros)) }
    }

    /// Its length in microseconds, at least 0.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

const UNITS: [(&str, i64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// `250us`, `10ms`, `5s`, `10m`, `3h`, `2d`, or `0`.
impl FromStr for Span {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if text == "0" {
            return Ok(Self::ZERO);
        }
        if text.starts_with('-') {
            return Err(TimeError::NegativeText(text.to_owned()));
        }
        let bad = || TimeError::Duration(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let scale = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?.1;
        let number: i64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(scale).map(Self).ok_or_else(bad)
    }
}

/// The largest unit that says it exactly: `48h` prints as `2d`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (unit, scale) = UNITS.iter().rev().find(|(_, scale)| self.0 % scale == 0).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_micros(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A text or number that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Not a moment.
    #[error("'{0}' is not a time: write it like 2013-07-01T12:00:00Z")]
    Moment(String),
    /// Not a duration.
    #[error("'{0}' is not a duration: write a whole number and a unit, like 250us, 10ms, 5s, 10m, 3h or 2d")]
    Duration(String),
    /// A negative duration.
    #[error("a duration of {0} us is negative")]
    Negative(i64),
    /// A negative duration, as written.
    #[error("the duration '{0}' is negative")]
    NegativeText(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_and_print() {
        for (text, micros, printed) in [
            ("250us", 250, "250us"),
            ("10ms", 10_000, "10ms"),
            ("5s", 5_000_000, "5s"),
            ("10m", 600_000_000, "10m"),
            ("3h", 10_800_000_000, "3h"),
            ("48h", 172_800_000_000, "2d"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.micros(), span.to_string()), (micros, printed.to_owned()));
        }
        for text in ["", "5", "-5s", "5 weeks", "1.5h", "s", "99999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text} must be refused");
        }
    }

    #[test]
    fn moments_parse_with_any_offset_and_naive_means_utc() {
        for text in ["2013-07-01T12:00:00Z", "2013-07-01T14:00:00+02:00", "2013-07-01 12:00:00", "2013-07-01T12:00"] {
            assert_eq!(text.parse::<Timestamp>().map(|t| t.to_string()), Ok("2013-07-01T12:00:00Z".to_owned()));
        }
        assert_eq!("1969-12-31T23:59:59.999999Z".parse(), Ok(Timestamp(-1)));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn arithmetic_saturates() {
        let day: Span = "1d".parse().expect("a duration");
        assert_eq!(Timestamp::MAX.saturating_add(day), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(day), Timestamp::MIN);
        assert_eq!(Timestamp(5).since(Timestamp(9)), Span::ZERO);
        assert_eq!(Timestamp::MAX.since(Timestamp::MIN).micros(), i64::MAX);
    }
}
