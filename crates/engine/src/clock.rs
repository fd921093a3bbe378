//! The clock: handed to the verbs as a value, so that a pretended now is one line at the top.

use std::time::{SystemTime, UNIX_EPOCH};

use hitherto_core::Timestamp;

/// Two machines' clocks may differ by this much, in microseconds. What lies further ahead of a machine's clock is refused by
/// whoever reads, and by whoever writes; what lies less far ahead, both go by.
pub(crate) const SKEW_US_MAX: i64 = 5_000_000;

/// Where the present comes from. The only place in the product that reads the system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A pretended now, frozen, for demos and tests.
    Frozen(Timestamp),
}

impl Clock {
    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "the one room in which the clock is read")]
    pub fn now(self) -> Timestamp {
        match self {
            Self::Frozen(at) => at,
            Self::System => {
                let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
                Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
            }
        }
    }

    /// Whether the present is pretended.
    pub fn is_frozen(self) -> bool {
        matches!(self, Self::Frozen(_))
    }
}
