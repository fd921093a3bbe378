//! Days and moments as PostgreSQL writes them: with its calendar, which has no year 0, and in its range.

/// From 1970 to 2000, where PostgreSQL's times begin.
pub(super) const DAYS_TO_2000: i32 = 10_957;
pub(super) const MICROS_TO_2000: i64 = 946_684_800_000_000;
const MICROS_A_DAY: i64 = 86_400_000_000;
/// The first day of PostgreSQL's calendar, 4714-11-24 BC, and the first after the last that it has for days and for moments.
const FIRST_DAY: i64 = -2_440_588;
const DAYS_END: i64 = 2_145_042_906;
const MOMENT_DAYS_END: i64 = 106_751_991;

/// What a day or a moment is: one, or before and after all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Earliest,
    Day(i32),
    /// Microseconds from 1970.
    Moment(i64),
    Latest,
}

impl Time {
    /// A day, counted from 1970; none if PostgreSQL has no such day.
    pub(super) fn of_days(days: i32) -> Option<Self> {
        match days {
            i32::MIN => Some(Self::Earliest),
            i32::MAX => Some(Self::Latest),
            days => (FIRST_DAY..DAYS_END).contains(&i64::from(days)).then_some(Self::Day(days)),
        }
    }

    /// A moment, counted from 1970 in units of which so many are a second; none if PostgreSQL has no such moment.
    pub(super) fn of_units(units: i64, a_second: i64) -> Option<Self> {
        match units {
            i64::MIN => return Some(Self::Earliest),
            i64::MAX => return Some(Self::Latest),
            _ => {}
        }
        let micros = if a_second > 1_000_000 {
            units.div_euclid(a_second / 1_000_000)
        } else {
            units.checked_mul(1_000_000 / a_second)?
        };
        let is_there = (FIRST_DAY..MOMENT_DAYS_END).contains(&micros.div_euclid(MICROS_A_DAY));
        is_there.then_some(Self::Moment(micros))
    }

    pub(super) fn text(self, zone: &str) -> String {
        match self {
            Self::Earliest => "-infinity".to_owned(),
            Self::Latest => "infinity".to_owned(),
            Self::Day(days) => {
                let (day, era) = day(i64::from(days));
                format!("{day}{era}")
            }
            Self::Moment(micros) => {
                let (day, era) = day(micros.div_euclid(MICROS_A_DAY));
                let of_day = micros.rem_euclid(MICROS_A_DAY);
                let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
                let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
                let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
                let fraction = fraction.trim_end_matches('0');
                format!("{day} {hours:02}:{minutes:02}:{seconds:02}{fraction}{zone}{era}")
            }
        }
    }

    /// In the binary format: four bytes of a day, eight of a moment.
    pub(super) fn binary(self, is_day: bool) -> Vec<u8> {
        match self {
            Self::Day(days) => (days - DAYS_TO_2000).to_be_bytes().to_vec(),
            Self::Moment(micros) => (micros - MICROS_TO_2000).to_be_bytes().to_vec(),
            Self::Earliest if is_day => i32::MIN.to_be_bytes().to_vec(),
            Self::Latest if is_day => i32::MAX.to_be_bytes().to_vec(),
            Self::Earliest => i64::MIN.to_be_bytes().to_vec(),
            Self::Latest => i64::MAX.to_be_bytes().to_vec(),
        }
    }
}

/// A day counted from 1970 as year, month and day, and what is said after the time of years before the first.
fn day(days: i64) -> (String, &'static str) {
    // years begin in March, so that the odd day is the last; 400 of them have 146,097 days
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (year, suffix) = if year < 1 { (1 - year, " BC") } else { (year, "") };
    (format!("{year:04}-{month:02}-{day:02}"), suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_in_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (15_706, "2013-01-01"),
            (11_016, "2000-02-29"),
            (-1, "1969-12-31"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-2_440_588, "4714-11-24 BC"),
            (2_932_897, "10000-01-01"),
            (i32::MAX, "infinity"),
        ] {
            assert_eq!(Time::of_days(days).expect("there is such a day").text(""), text, "{days}");
        }
        assert_eq!((Time::of_days(-2_440_589), Time::of_days(2_145_042_906)), (None, None));
        assert_eq!(Time::of_days(DAYS_TO_2000 - 1).expect("a day").binary(true), [0xff; 4]);
    }

    #[test]
    fn moments_are_written_with_their_fraction() {
        let text = |units, a_second| Time::of_units(units, a_second).map(|time| time.text("+00"));
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(text(1_356_998_400, 1), said("2013-01-01 00:00:00+00"));
        assert_eq!(text(1_356_998_400_120_000, 1_000_000), said("2013-01-01 00:00:00.12+00"));
        assert_eq!(text(-1, 1_000_000_000), said("1969-12-31 23:59:59.999999+00"), "cut off downwards");
        assert_eq!(text(-62_135_596_801_000, 1_000), said("0001-12-31 23:59:59+00 BC"));
        assert_eq!(text(i64::MIN, 1_000_000), said("-infinity"));
        assert_eq!((text(i64::MAX - 1, 1_000_000), text(i64::MAX - 1, 1)), (None, None), "later than it has any");
        let begin = Time::of_units(946_684_800_000_001, 1_000_000).expect("a moment");
        assert_eq!(begin.binary(false), 1_i64.to_be_bytes());
        assert_eq!(Time::Latest.binary(false), i64::MAX.to_be_bytes());
    }
}
