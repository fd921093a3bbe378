//! The identity of a feature set: a hash of what decides its values.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{KeyType, Name, ResolvedSet, Span, SpineKey, ValueType};

/// SHA-256, in hex, of these bytes.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256, in hex, of the set's canonical JSON: sorted object keys, no spaces, times in microseconds.
///
/// It says what decides values and nothing of where they lie: no table ids and no version numbers, which development
/// and production count each for itself. Two sets with one hash answer alike on the same history.
pub fn feature_set_hash(set: &ResolvedSet) -> String {
    hex::encode(Sha256::digest(canonical_json(set)))
}

/// Keys are sorted because fields are declared in that order here; a JSON library's map need not sort.
#[derive(Serialize)]
struct Canonical<'a> {
    outputs: Vec<CanonicalOutput<'a>>,
    request: &'a BTreeMap<Name, ValueType>,
    transforms: Vec<CanonicalTransform<'a>>,
    uses: Vec<CanonicalUse<'a>>,
}

#[derive(Serialize)]
struct CanonicalOutput<'a> {
    feature: &'a Name,
    name: &'a str,
    r#type: &'a ValueType,
    r#use: usize,
}

#[derive(Serialize)]
struct CanonicalTransform<'a> {
    expr: &'a str,
    name: &'a Name,
}

#[derive(Serialize)]
struct CanonicalUse<'a> {
    alias: &'a Name,
    delay_us: i64,
    keys: Vec<CanonicalKey<'a>>,
    ttl_us: Option<i64>,
    view: &'a Name,
}

#[derive(Serialize)]
struct CanonicalKey<'a> {
    name: &'a Name,
    spine_column: &'a str,
    r#type: KeyType,
}

fn canonical_json(set: &ResolvedSet) -> String {
    let outputs = set.outputs.iter().map(|output| CanonicalOutput {
        feature: &output.feature,
        name: &output.name,
        r#type: &output.value_type,
        r#use: output.view_use,
    });
    let uses = set.uses.iter().map(|used| CanonicalUse {
        alias: &used.alias,
        delay_us: used.source_delay.micros(),
        keys: used.keys.iter().map(canonical_key).collect(),
        ttl_us: used.ttl.map(Span::micros).filter(|ttl| *ttl > 0),
        view: &used.view.name,
    });
    let transforms = set
        .transforms
        .iter()
        .map(|transform| CanonicalTransform { expr: transform.expr.trim(), name: &transform.name });
    let canonical = Canonical {
        outputs: outputs.collect(),
        request: &set.request,
        transforms: transforms.collect(),
        uses: uses.collect(),
    };
    serde_json::to_string(&canonical).expect("names, texts and numbers are JSON")
}

fn canonical_key(key: &SpineKey) -> CanonicalKey<'_> {
    CanonicalKey { name: &key.name, spine_column: &key.spine_column, r#type: key.key_type }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Output, Transform, ViewUse};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn set() -> ResolvedSet {
        let key = |column: &str| SpineKey {
            name: name("origin"),
            key_type: KeyType::String,
            spine_column: column.to_owned(),
        };
        let weather = |alias: &str, column: &str| ViewUse {
            alias: name(alias),
            view: crate::VersionedName { name: name("weather"), version: 3 },
            table: "weather-2".to_owned(),
            source_delay: "10m".parse().expect("a duration"),
            ttl: Some("2d".parse().expect("a duration")),
            keys: vec![key(column)],
        };
        let output = |text: &str, view_use, value_type| Output {
            name: text.to_owned(),
            view_use,
            feature: name("gust"),
            value_type,
        };
        ResolvedSet {
            uses: vec![weather("weather", "origin"), ViewUse { ttl: None, ..weather("dest", "to") }],
            outputs: vec![output("gust", 0, ValueType::Float32), output("dest__gust", 1, ValueType::Vector(3))],
            request: [(name("prepaid"), ValueType::Float64), (name("a"), ValueType::Date)].into(),
            transforms: vec![Transform { name: name("gusty"), expr: " gust > \"25\" ".to_owned() }],
        }
    }

    #[test]
    fn the_canonical_json_and_its_hash_never_change() {
        let json = concat!(
            r#"{"outputs":[{"feature":"gust","name":"gust","type":"float32","use":0},"#,
            r#"{"feature":"gust","name":"dest__gust","type":"vector<float32, 3>","use":1}],"#,
            r#""request":{"a":"date","prepaid":"float64"},"#,
            r#""transforms":[{"expr":"gust > \"25\"","name":"gusty"}],"#,
            r#""uses":[{"alias":"weather","delay_us":600000000,"#,
            r#""keys":[{"name":"origin","spine_column":"origin","type":"string"}],"ttl_us":172800000000,"view":"weather"},"#,
            r#"{"alias":"dest","delay_us":600000000,"#,
            r#""keys":[{"name":"origin","spine_column":"to","type":"string"}],"ttl_us":null,"view":"weather"}]}"#,
        );
        assert_eq!(canonical_json(&set()), json);
        assert_eq!(feature_set_hash(&set()), "1d91ef8f7db2301f13b7afc432314a89c32366c53ff9ca66384886cafeb399c0");
    }

    #[test]
    fn where_and_when_it_was_applied_is_not_in_it() {
        let mut other = set();
        other.uses[0].view.version = 1;
        other.uses[0].table = "weather-1".to_owned();
        other.uses[1].ttl = Some(Span::ZERO);
        other.transforms[0].expr = "gust > \"25\"".to_owned();
        assert_eq!(feature_set_hash(&other), feature_set_hash(&set()));
    }

    #[test]
    fn whatever_decides_a_value_is_in_it() {
        let changes: [fn(&mut ResolvedSet); 10] = [
            |set| set.uses[0].ttl = None,
            |set| set.uses[0].source_delay = Span::ZERO,
            |set| set.uses[0].keys[0].key_type = KeyType::Bytes,
            |set| set.uses[1].keys[0].spine_column = "dest".to_owned(),
            |set| set.outputs[0].value_type = ValueType::Float64,
            |set| set.outputs[0].name = "wind".to_owned(),
            |set| set.outputs[0].view_use = 1,
            |set| set.outputs.swap(0, 1),
            |set| set.transforms.clear(),
            |set| set.request.clear(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut other = set();
            change(&mut other);
            assert_ne!(feature_set_hash(&other), feature_set_hash(&set()), "change {index}");
        }
    }
}
