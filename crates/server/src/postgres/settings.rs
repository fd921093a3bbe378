//! The settings that clients of PostgreSQL set and ask for. A value that would not be kept is refused; none is passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use pgwire::types::format::FormatOptions;

use super::failure::{Stop, Told, state};

/// The version of PostgreSQL whose protocol and catalogs are spoken, and our own.
pub(super) const VERSION: &str = concat!("15.0 (Hitherto ", env!("CARGO_PKG_VERSION"), ")");
/// The same as a number.
const VERSION_NUMBER: &str = "150000";
/// How long a statement may take, unless the server's own limit ends it before.
const TIMEOUT: &str = "statement_timeout";

/// A text that decides nothing is cut there, as PostgreSQL cuts names.
const TEXT_BYTES_MAX: usize = 63;

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// Nothing else than it is.
    Fixed,
    /// One of these, whatever the case of letters.
    OneOf(&'static [&'static str]),
    /// UTF-8, however it is spelled.
    Encoding,
    /// Any text: it decides nothing here.
    Any,
    /// A whole number in these bounds.
    Number(i64, i64),
    /// A length of time.
    Time,
    /// Schemas: names without one are of `public`, so it must be the first.
    Path,
    /// `on`, and nothing else: rows come by ingest and push.
    ReadOnly,
}

/// Every setting: how it is written, what it is at first, what it may be, and whether clients are told of it without asking.
static SETTINGS: [(&str, &str, Takes, bool); 28] = [
    ("application_name", "", Takes::Any, true),
    ("bytea_output", "hex", Takes::OneOf(&["hex", "escape"]), false),
    ("client_encoding", "UTF8", Takes::Encoding, true),
    ("client_min_messages", "notice", Takes::Any, false),
    ("DateStyle", "ISO, MDY", Takes::OneOf(&["ISO", "ISO, MDY", "ISO, DMY", "ISO, YMD"]), true),
    ("default_transaction_isolation", "repeatable read", Takes::OneOf(LEVELS), false),
    ("default_transaction_read_only", "on", Takes::ReadOnly, true),
    ("extra_float_digits", "1", Takes::Number(-15, 3), false),
    ("idle_in_transaction_session_timeout", "0", Takes::Any, false),
    ("in_hot_standby", "off", Takes::Fixed, true),
    ("integer_datetimes", "on", Takes::Fixed, true),
    ("IntervalStyle", "postgres", Takes::OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), true),
    ("is_superuser", "off", Takes::Fixed, true),
    ("lock_timeout", "0", Takes::Any, false),
    ("max_identifier_length", "63", Takes::Fixed, false),
    ("max_index_keys", "32", Takes::Fixed, false),
    ("row_security", "on", Takes::Any, false),
    ("search_path", "public", Takes::Path, false),
    ("server_encoding", "UTF8", Takes::Fixed, true),
    ("server_version", VERSION, Takes::Fixed, true),
    ("server_version_num", VERSION_NUMBER, Takes::Fixed, false),
    ("session_authorization", "", Takes::Fixed, true),
    ("standard_conforming_strings", "on", Takes::OneOf(&["on", "true"]), true),
    (TIMEOUT, "0", Takes::Time, false),
    ("synchronize_seqscans", "on", Takes::Any, false),
    ("TimeZone", "UTC", Takes::OneOf(&["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z", "0"]), true),
    ("transaction_isolation", "repeatable read", Takes::OneOf(LEVELS), false),
    ("transaction_read_only", "on", Takes::ReadOnly, false),
];
const LEVELS: &[&str] = &["read uncommitted", "read committed", "repeatable read", "serializable"];

/// The settings of one connection.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Who is there, as `session_authorization` says.
    user: String,
    /// What differs from the first values, by the setting's place.
    set: BTreeMap<usize, String>,
    /// What differs until the transaction ends.
    local: BTreeMap<usize, String>,
    /// What a reset brings back: what the client asked for when it connected.
    begun: BTreeMap<usize, String>,
}

/// Until when a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The transaction's end.
    Commit,
    /// The connection's.
    Close,
}

impl Settings {
    pub(super) fn new(user: &str) -> Self {
        let none = BTreeMap::new;
        Self { user: user.to_owned(), set: none(), local: none(), begun: none() }
    }

    /// Takes what a client asks for when it connects. A driver asks for its machine's time zone without being told to: it is told
    /// that it is UTC, and no more. What is not known is a driver's own.
    pub(super) fn begin(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        let Some(place) = place(name) else { return Ok(()) };
        if SETTINGS[place].0 != "TimeZone" {
            self.set(name, Some(value), Until::Close)?;
            self.begun.clone_from(&self.set);
        }
        Ok(())
    }

    /// The same where its user has written it as an option (`-c name=value`): what is not known is refused, but a name with a point
    /// is of an extension's, as PostgreSQL has it.
    pub(super) fn begin_option(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        if !name.contains('.') {
            known(name)?;
        }
        self.begin(name, value)
    }

    /// Sets, or gives the first value back; the setting as it is written and its new value, if clients are told of it.
    pub(super) fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
        until: Until,
    ) -> Result<Option<(&'static str, String)>, Stop> {
        let place = known(name)?;
        let (written, _, takes, is_told) = SETTINGS[place];
        let values = if until == Until::Commit { &mut self.local } else { &mut self.set };
        match value {
            Some(value) => {
                let kept = takes.kept(written, value)?;
                values.insert(place, kept);
            }
            None => match self.begun.get(&place) {
                Some(begun) => drop(values.insert(place, begun.clone())),
                None => drop(values.remove(&place)),
            },
        }
        Ok(is_told.then(|| (written, self.at(place))))
    }

    /// Gives all first values back.
    pub(super) fn reset(&mut self) {
        self.set.clone_from(&self.begun);
        self.local.clear();
    }

    /// What counted until the transaction's end.
    pub(super) fn end_transaction(&mut self) {
        self.local.clear();
    }

    /// The setting as it is written, and its value.
    pub(super) fn get(&self, name: &str) -> Result<(&'static str, String), Stop> {
        let place = known(name)?;
        Ok((SETTINGS[place].0, self.at(place)))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(&'static str, String)> {
        SETTINGS.iter().enumerate().map(|(place, (name, ..))| (*name, self.at(place))).collect()
    }

    /// Those that clients are told of without asking.
    pub(super) fn told(&self) -> Vec<(&'static str, String)> {
        let told = SETTINGS.iter().enumerate().filter(|(_, (_, _, _, is_told))| *is_told);
        told.map(|(place, (name, ..))| (*name, self.at(place))).collect()
    }

    /// How long a statement may take; none for as long as the server lets it.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let (_, value) = self.get(TIMEOUT).ok()?;
        milliseconds(&value).filter(|time| *time > 0).map(Duration::from_millis)
    }

    /// How values are written as text.
    pub(super) fn format(&self) -> FormatOptions {
        let value = |name| self.get(name).map(|(_, value)| value).unwrap_or_default();
        let mut options = FormatOptions::default();
        options.interval_style = value("IntervalStyle");
        options.bytea_output = value("bytea_output");
        if let Ok(digits) = value("extra_float_digits").parse() {
            options.extra_float_digits = digits;
        }
        options
    }

    fn at(&self, place: usize) -> String {
        let (name, first, ..) = SETTINGS[place];
        if name == "session_authorization" {
            return self.user.clone();
        }
        self.local.get(&place).or_else(|| self.set.get(&place)).cloned().unwrap_or_else(|| first.to_owned())
    }
}

impl Takes {
    /// The value as it is kept, if it may be had.
    fn kept(self, name: &str, value: &str) -> Result<String, Stop> {
        let refused = |state, hint: String| {
            let message = format!("{name} cannot be '{value}' here");
            Err(Stop::Refused(Told::new(state, message).with_hint(hint)))
        };
        match self {
            Self::Any => Ok(value[..value.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()),
            Self::Fixed => refused(state::INVALID_PARAMETER, "it is the server's own, and cannot be set".to_owned()),
            Self::OneOf(known) => match known.iter().find(|known| known.eq_ignore_ascii_case(value)) {
                Some(known) => Ok((*known).to_owned()),
                None => refused(state::INVALID_PARAMETER, format!("it can be {}", known.join(", "))),
            },
            // drivers write utf8, UTF-8, and one of them with quotes around it
            Self::Encoding => {
                let letters: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                match letters.to_ascii_lowercase().as_str() {
                    "utf8" | "unicode" => Ok("UTF8".to_owned()),
                    _ => refused(state::INVALID_PARAMETER, "texts are UTF8, and nothing else".to_owned()),
                }
            }
            Self::Number(least, most) => match value.parse::<i64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
                _ => refused(state::INVALID_PARAMETER, format!("it is a whole number from {least} to {most}")),
            },
            Self::Time => match milliseconds(value) {
                Some(_) => Ok(value.to_owned()),
                None => refused(state::INVALID_PARAMETER, "write milliseconds, or '500ms', '30s', '5min'".to_owned()),
            },
            Self::Path => {
                let mut schemas = value.split(',').map(|schema| schema.trim().trim_matches(['"', '\'']));
                if schemas.find(|schema| *schema != "$user") == Some("public") {
                    return Ok(value.to_owned());
                }
                let hint = "a name without a schema is of public: write latest.view, registry.features";
                refused(state::NOT_SUPPORTED, hint.to_owned())
            }
            Self::ReadOnly => match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Ok("on".to_owned()),
                _ => Err(read_only(&format!("{name} cannot be '{value}' here"))),
            },
        }
    }
}

/// What is said to whoever wants to write.
pub(super) fn read_only(message: &str) -> Stop {
    let hint = "SQL only reads: rows come by `hitherto ingest` or a push, definitions by `hitherto apply`";
    Stop::Refused(Told::new(state::READ_ONLY, message).with_hint(hint))
}

fn place(name: &str) -> Option<usize> {
    SETTINGS.iter().position(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn known(name: &str) -> Result<usize, Stop> {
    place(name).ok_or_else(|| {
        let told = Told::new(state::UNDEFINED_OBJECT, format!("there is no setting '{name}'"));
        Stop::Refused(told.with_hint("SHOW ALL has those that there are; the server's own are in hitherto.toml"))
    })
}

/// A length of time as PostgreSQL writes it.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stop: Stop) -> Told {
        let Stop::Refused(told) = stop else { panic!("the connection goes on") };
        told
    }

    #[test]
    fn values_are_kept_until_their_end() {
        let mut settings = Settings::new("ada");
        settings.begin("statement_timeout", "5s").expect("a time");
        assert_eq!(settings.timeout(), Some(Duration::from_secs(5)));
        settings.set("Statement_Timeout", Some("200"), Until::Commit).expect("a time");
        assert_eq!(settings.timeout(), Some(Duration::from_millis(200)));
        settings.end_transaction();
        assert_eq!(settings.timeout(), Some(Duration::from_secs(5)));
        settings.set("statement_timeout", Some("0"), Until::Close).expect("a time");
        assert_eq!(settings.timeout(), None);
        settings.set("statement_timeout", None, Until::Close).expect("what it began with");
        assert_eq!(settings.timeout(), Some(Duration::from_secs(5)));
        let said = settings.set("datestyle", Some("iso, dmy"), Until::Close).expect("a style");
        assert_eq!(said, Some(("DateStyle", "ISO, DMY".to_owned())));
        settings.reset();
        assert_eq!(settings.get("DATESTYLE").expect("it is known"), ("DateStyle", "ISO, MDY".to_owned()));
        assert_eq!(settings.get("session_authorization").expect("it is known").1, "ada");
        settings.begin("TimeZone", "Europe/Berlin").expect("a driver's own");
        assert_eq!(settings.get("timezone").expect("it is known").1, "UTC");
    }

    #[test]
    fn what_would_not_be_kept_is_refused() {
        let mut settings = Settings::new("ada");
        for (name, value, state) in [
            ("client_encoding", "LATIN1", "22023"),
            ("DateStyle", "German", "22023"),
            ("TimeZone", "Europe/Berlin", "22023"),
            ("statement_timeout", "soon", "22023"),
            ("extra_float_digits", "4", "22023"),
            ("server_version", "16", "22023"),
            ("search_path", "latest, public", "0A000"),
            ("default_transaction_read_only", "off", "25006"),
            ("datafusion.execution.batch_size", "1", "42704"),
        ] {
            let refused = settings.set(name, Some(value), Until::Close).expect_err(name);
            assert_eq!(told(refused).state, state, "{name} = {value}");
        }
        for (name, value) in [
            ("search_path", "\"$user\", public"),
            ("client_encoding", "'utf-8'"),
            ("client_encoding", "Unicode"),
            ("transaction_read_only", "true"),
            ("extra_float_digits", "3"),
            ("application_name", "ä".repeat(31_000).as_str()),
        ] {
            assert!(settings.set(name, Some(value), Until::Close).is_ok(), "{name} = {value}");
        }
        assert_eq!(settings.get("application_name").expect("it is known").1, "ä".repeat(31));
        assert_eq!(settings.get("client_encoding").expect("it is known").1, "UTF8", "in PostgreSQL's own spelling");
    }

    #[test]
    fn each_is_there_once_and_in_order() {
        let names: Vec<String> = SETTINGS.iter().map(|(name, ..)| name.to_ascii_lowercase()).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
