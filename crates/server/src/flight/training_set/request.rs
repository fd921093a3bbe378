//! What a client asks for, as it writes it: the command of an exchange, the ticket of a fetch.

use std::collections::BTreeMap;

use hitherto_core::{Mode, Name, Selector, Span, Split, TimeError, Timestamp};
use hitherto_engine::{EvidenceColumns, Existing, Provenance, Spine, TrainingSetRequest};
use hitherto_offline::OutputLocation;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::answer::Refusal;

/// The tag that a `run_id` becomes.
const RUN_ID: &str = "run_id";

/// What is wanted of an exchange. Fields that it does not know are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    feature_set: Option<String>,
    model: Option<String>,
    mode: Mode,
    event_timestamp: Option<String>,
    evidence: bool,
    name: Option<Name>,
    tags: BTreeMap<String, String>,
    run_id: Option<String>,
    pub(super) spine_sql: Option<String>,
    pub(super) spine_url: Option<String>,
    fresh: bool,
    split: Option<WantedSplit>,
    /// Whether messages about how far it is may come, too.
    pub(super) progress: bool,
}

/// Who is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Consumer {
    FeatureSet(Selector),
    Model(Selector),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    training_set: Wanted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetched {
    dataset: String,
}

/// A split as manifests have it; times and lengths may be texts, too.
#[derive(Debug, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
enum WantedSplit {
    Time {
        train_end: Written,
        #[serde(default)]
        validation_end: Option<Written>,
        #[serde(default)]
        gap: Option<Written>,
    },
    Key {
        #[serde(default)]
        columns: Vec<String>,
        weights: [u32; 3],
    },
}

/// Microseconds, or a time or length as people write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Micros(i64),
    Text(String),
}

/// The command of an exchange.
pub(super) fn command(bytes: &[u8]) -> Result<Wanted, Refusal> {
    let Command { training_set } = json("cmd", "the exchange's command", bytes)?;
    Ok(training_set)
}

/// The dataset that a ticket names: an id, the beginning of one that is unique, or a name.
pub(super) fn ticket(bytes: &[u8]) -> Result<String, Refusal> {
    let Fetched { dataset } = json("ticket", "the ticket", bytes)?;
    if dataset.is_empty() {
        return Err(Refusal::invalid("dataset", "the ticket names no dataset: write it like {\"dataset\": ID}"));
    }
    Ok(dataset)
}

fn json<T: DeserializeOwned>(field: &str, what: &str, bytes: &[u8]) -> Result<T, Refusal> {
    let refused = |error: serde_json::Error| {
        Refusal::invalid(field, format!("could not read {what}, which must be JSON: {error}"))
    };
    serde_json::from_slice(bytes).map_err(refused)
}

impl Wanted {
    /// Who is trained: a feature set or a model, and one of them alone.
    pub(super) fn consumer(&self) -> Result<Consumer, Refusal> {
        match (&self.feature_set, &self.model) {
            (Some(set), None) => selector("feature_set", set).map(Consumer::FeatureSet),
            (None, Some(model)) => selector("model", model).map(Consumer::Model),
            (Some(_), Some(_)) => Err(Refusal::invalid(
                "model",
                "a training set is of a feature set or of a model: leave one of `feature_set` and `model` out",
            )),
            (None, None) => Err(Refusal::invalid(
                "feature_set",
                "a training set needs `feature_set` (NAME or NAME@VERSION) or `model` (NAME, NAME@VERSION or NAME@ALIAS)",
            )),
        }
    }

    /// The request of the verb, for `actor`, of a feature set that is known by now; files that lie at `places` may be the
    /// answer.
    pub(super) fn request(
        &self,
        actor: &str,
        feature_set: Selector,
        spine: Spine,
        out: OutputLocation,
        places: Vec<OutputLocation>,
    ) -> Result<TrainingSetRequest, Refusal> {
        let mut tags = self.tags.clone();
        if let Some(run_id) = &self.run_id
            && tags.insert(RUN_ID.to_owned(), run_id.clone()).is_some_and(|other| other != *run_id)
        {
            return Err(Refusal::invalid(RUN_ID, "`run_id` is the tag of that name: leave one of them out"));
        }
        let plain = TrainingSetRequest::new(feature_set, spine, out);
        Ok(TrainingSetRequest {
            mode: self.mode,
            event_timestamp: self.event_timestamp.clone().unwrap_or_else(|| plain.event_timestamp.clone()),
            evidence: if self.evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent },
            split: self.split.as_ref().map(WantedSplit::split).transpose()?,
            name: self.name.clone(),
            provenance: Provenance { actor: actor.to_owned(), tags },
            existing: if self.fresh { Existing::Replace } else { Existing::ReuseAt(places) },
            ..plain
        })
    }
}

impl WantedSplit {
    fn split(&self) -> Result<Split, Refusal> {
        let field = |name: &'static str| move |error: TimeError| Refusal::invalid(name, format!("{name}: {error}"));
        Ok(match self {
            Self::Time { train_end, validation_end, gap } => Split::Time {
                train_end: train_end.moment().map_err(field("split.train_end"))?,
                validation_end: validation_end
                    .as_ref()
                    .map(Written::moment)
                    .transpose()
                    .map_err(field("split.validation_end"))?,
                gap: gap.as_ref().map_or(Ok(Span::ZERO), Written::span).map_err(field("split.gap"))?,
            },
            Self::Key { columns, weights } => Split::Key { columns: columns.clone(), weights: *weights },
        })
    }
}

impl Written {
    fn moment(&self) -> Result<Timestamp, TimeError> {
        match self {
            Self::Micros(micros) => Ok(Timestamp(*micros)),
            Self::Text(text) => text.parse(),
        }
    }

    fn span(&self) -> Result<Span, TimeError> {
        match self {
            Self::Micros(micros) => Span::from_micros(*micros),
            Self::Text(text) => text.parse(),
        }
    }
}

fn selector(field: &str, text: &str) -> Result<Selector, Refusal> {
    text.parse::<Selector>().map_err(|error| Refusal::invalid(field, format!("could not read `{field}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<TrainingSetRequest, String> {
        let wanted = command(text.as_bytes()).map_err(|Refusal(failure)| failure.message)?;
        let consumer = wanted.consumer().map_err(|Refusal(failure)| failure.message)?;
        let (Consumer::FeatureSet(set) | Consumer::Model(set)) = consumer;
        let out = OutputLocation::file(std::path::Path::new("/nowhere/t.parquet")).expect("a place");
        let wanted = wanted.request("etl", set, Spine::Sql("SELECT 1".to_owned()), out, Vec::new());
        wanted.map_err(|Refusal(failure)| failure.message)
    }

    #[test]
    fn what_is_not_said_is_as_on_the_command_line() {
        let wanted = request(r#"{"training_set": {"feature_set": "late@3"}}"#).expect("a request");
        assert_eq!(wanted.feature_set.to_string(), "late@3");
        assert_eq!((wanted.mode, wanted.event_timestamp.as_str()), (Mode::Knowledge, "event_timestamp"));
        assert_eq!((wanted.evidence, wanted.name, wanted.split), (EvidenceColumns::Absent, None, None));
        assert_eq!(wanted.provenance, Provenance { actor: "etl".to_owned(), tags: BTreeMap::new() });
        assert!(matches!(wanted.existing, Existing::ReuseAt(_)), "{:?}", wanted.existing);
    }

    #[test]
    fn everything_can_be_said() {
        let wanted = request(
            r#"{"training_set": {"model": "late@champion", "mode": "event", "event_timestamp": "t", "evidence": true,
                "name": "nightly", "tags": {"code": "ab12"}, "run_id": "r7", "fresh": true, "progress": true,
                "split": {"by": "time", "train_end": "2013-06-01", "validation_end": 1372636800000000, "gap": "1d"}}}"#,
        )
        .expect("a request");
        assert_eq!((wanted.mode, wanted.event_timestamp.as_str()), (Mode::Event, "t"));
        assert_eq!(wanted.evidence, EvidenceColumns::Times);
        assert_eq!(wanted.name.map(|name| name.to_string()).as_deref(), Some("nightly"));
        let tags: Vec<_> = wanted.provenance.tags.into_iter().collect();
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tags, [tag("code", "ab12"), tag("run_id", "r7")]);
        assert!(matches!(wanted.existing, Existing::Replace), "{:?}", wanted.existing);
        let expected = Split::Time {
            train_end: "2013-06-01".parse().expect("a time"),
            validation_end: Some("2013-07-01".parse().expect("a time")),
            gap: "1d".parse().expect("a length"),
        };
        assert_eq!(wanted.split, Some(expected));
    }

    #[test]
    fn a_split_by_key_is_as_manifests_have_it() {
        let split = |text: &str| {
            let asked = format!(r#"{{"training_set": {{"feature_set": "late", "split": {text}}}}}"#);
            request(&asked).map(|wanted| wanted.split.expect("a split"))
        };
        let by_key = Split::Key { columns: vec!["k".to_owned()], weights: [80, 10, 10] };
        assert_eq!(split(&serde_json::to_string(&by_key).expect("JSON")), Ok(by_key));
        let by_shared_key = Split::Key { columns: Vec::new(), weights: [1, 0, 1] };
        assert_eq!(split(r#"{"by": "key", "weights": [1, 0, 1]}"#), Ok(by_shared_key));
        let fault = split(r#"{"by": "time", "train_end": "tomorrow"}"#).expect_err("no time");
        assert!(fault.starts_with("split.train_end: 'tomorrow' is not a time"), "{fault}");
        assert!(split(r#"{"by": "rows"}"#).expect_err("no such way").contains("`time` or `key`"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fault = |text: &str| request(text).expect_err(text);
        assert!(fault("late").starts_with("could not read the exchange's command, which must be JSON: "));
        let unknown = fault(r#"{"training_set": {"feature_set": "late", "evidnce": true}}"#);
        assert!(unknown.contains("unknown field `evidnce`, expected one of `feature_set`, `model`"), "{unknown}");
        assert!(fault(r#"{"training": {}}"#).contains("unknown field `training`"));
        assert!(fault(r#"{"training_set": {}}"#).contains("needs `feature_set`"));
        assert!(fault(r#"{"training_set": {"feature_set": "a", "model": "b"}}"#).contains("leave one"));
        assert!(fault(r#"{"training_set": {"feature_set": "1a"}}"#).starts_with("could not read `feature_set`: "));
        let twice = r#"{"training_set": {"feature_set": "a", "run_id": "1", "tags": {"run_id": "2"}}}"#;
        assert!(fault(twice).contains("leave one of them out"));
    }

    #[test]
    fn a_ticket_names_a_dataset() {
        let named = |text: &str| ticket(text.as_bytes()).map_err(|Refusal(failure)| failure.message);
        assert_eq!(named(r#"{"dataset": "ab12"}"#).as_deref(), Ok("ab12"));
        assert!(named(r#"{"dataset": ""}"#).expect_err("empty").contains("names no dataset"));
        assert!(named(r#"{"data": "ab"}"#).expect_err("another").contains("unknown field `data`"));
    }
}
