use super::*;
use crate::{KeyType, Member, Span, ValueType};

fn parse(text: &str) -> Result<Vec<Located<Definition>>, Vec<Problem>> {
    parse_definitions(&[("d.yaml".to_owned(), text.to_owned())])
}

fn one(text: &str) -> Definition {
    let mut all = parse(text).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    assert_eq!(all.len(), 1);
    all.remove(0).definition
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().flat_map(|problem| [problem.to_string(), "\n".to_owned()]).collect()
}

fn refused(text: &str) -> String {
    lines(&parse(text).expect_err("must be refused"))
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

const ALL_FORMS: &str = r#"
kind: entity
name: aircraft
join_keys: {tailnum: string}
description: 7
---
kind: feature_view
name: aircraft_last_leg
entity: aircraft
join_keys: {tailnum: tail_number}
created_timestamp: _ingested_at
source_delay: 0s
ttl: 2d
features:
  arr_delay: float32
  dep_delay: {type: float32, column: DepDelay, description: minutes late at the gate, tags: {owner: ops, since: 1.10}}
  embedding: "vector<float32, 3>"
  legs: list<string>
---
kind: feature_set
name: late_arrival
features:
  - aircraft_last_leg:arr_delay
  - aircraft_last_leg@1:dep_delay
  - {ref: "weather:wind_gust", as: gust}
  - origin_hour:*
  - view: origin_hour@2
    as: dest_hour
    join_keys: {origin: dest}
request: {prepaid: float64}
transforms:
  - {name: is_gusty, expr: "gust > 25"}
---
"#;

#[test]
fn every_form_of_the_grammar_is_read() {
    let all = parse(ALL_FORMS).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    let [entity, view, set] = all.as_slice() else { panic!("three definitions, not {}", all.len()) };
    let Definition::Entity(entity) = &entity.definition else { panic!("an entity") };
    assert_eq!(entity.join_keys, [(name("tailnum"), KeyType::String)].into());
    assert_eq!(entity.notes.description.as_deref(), Some("7"));

    let Definition::FeatureView(parsed) = &view.definition else { panic!("a view") };
    assert_eq!(parsed.entities, [name("aircraft")]);
    assert_eq!(parsed.join_keys, [(name("tailnum"), "tail_number".to_owned())].into());
    assert_eq!(parsed.event_timestamp, "event_timestamp");
    assert_eq!(parsed.created_timestamp.as_deref(), Some("_ingested_at"));
    assert_eq!(parsed.source_delay, Span::ZERO);
    assert_eq!(parsed.ttl.map(|ttl| ttl.to_string()).as_deref(), Some("2d"));
    let columns: Vec<_> = parsed.features.iter().map(|f| (f.name.as_str(), f.column.as_str())).collect();
    assert_eq!(
        columns,
        [("arr_delay", "arr_delay"), ("dep_delay", "DepDelay"), ("embedding", "embedding"), ("legs", "legs")]
    );
    assert_eq!(parsed.features[1].notes.tags["since"], "1.10");
    assert_eq!(parsed.features[2].value_type, ValueType::Vector(3));
    assert_eq!(view.marks.at("features.legs"), Position { line: 18, column: 3 });

    let Definition::FeatureSet(set) = &set.definition else { panic!("a set") };
    let leg = name("aircraft_last_leg");
    assert_eq!(
        set.features,
        [
            Member::One { view: leg.clone(), version: None, feature: name("arr_delay"), rename: None },
            Member::One { view: leg, version: Some(1), feature: name("dep_delay"), rename: None },
            Member::One {
                view: name("weather"),
                version: None,
                feature: name("wind_gust"),
                rename: Some(name("gust"))
            },
            Member::All { view: name("origin_hour"), version: None },
            Member::Aliased {
                view: name("origin_hour"),
                version: Some(2),
                alias: name("dest_hour"),
                join_keys: [(name("origin"), "dest".to_owned())].into(),
            },
        ]
    );
    assert_eq!(set.request, [(name("prepaid"), ValueType::Float64)].into());
    assert_eq!((set.transforms[0].name.as_str(), set.transforms[0].expr.as_str()), ("is_gusty", "gust > 25"));
}

#[test]
fn many_entities_and_a_ttl_of_zero() {
    let text = "kind: feature_view\nname: v\nentities: [a, b]\nttl: 0\nfeatures: {f: bool}\n";
    let Definition::FeatureView(view) = one(text) else { panic!("a view") };
    assert_eq!((view.entities, view.ttl), (vec![name("a"), name("b")], None));
}

#[test]
fn empty_files_and_documents_are_fine() {
    assert_eq!(parse(""), Ok(vec![]));
    assert_eq!(parse("# only a comment\n---\n---\n"), Ok(vec![]));
}

#[test]
fn every_problem_of_all_files_is_reported_in_order() {
    let first = "kind: feature_view\nname: weather\nentity: airport\ntll: 2d\nttl: -5s\nsource_delay: 5 weeks\n\
                 features:\n  wind: floot32\n  wind: float32\n  9x: int64\n  event_timestamp: timestamp\n  Wind: int32\n";
    let second = "kind: entity\nname: airport\njoin_keys: {iata: float64}\n---\nkind: entity\nname: airport\n\
                  join_keys: {iata: string}\n---\nkind: entty\nname: x\n---\nkind: [\n";
    let files = [("a.yaml".to_owned(), first.to_owned()), ("b.yaml".to_owned(), second.to_owned())];
    let types =
        "use bool, int32, int64, float32, float64, string, bytes, timestamp, date, list<T> or vector<float32, N>";
    assert_eq!(
        lines(&parse_definitions(&files).expect_err("must be refused")),
        format!(
            "a.yaml:4:1: unknown field 'tll' in feature_view 'weather' (did you mean 'ttl'?)\n\
             a.yaml:5:6: ttl: the duration '-5s' is negative\n\
             a.yaml:6:15: source_delay: '5 weeks' is not a duration: write a whole number and a unit, like 250us, 10ms, 5s, \
             10m, 3h or 2d\n\
             a.yaml:8:9: feature 'wind': 'floot32' is not a type: {types}\n\
             a.yaml:9:3: 'wind' stands twice in 'features' of feature_view 'weather': first in line 8\n\
             a.yaml:10:3: the name '9x' must begin with a letter\n\
             a.yaml:11:3: a feature cannot be called 'event_timestamp', as a column of every table is: use another name, with \
             column: event_timestamp\n\
             b.yaml:3:19: join key 'iata': a key cannot be float64: floats that print alike may differ; use int64 or string\n\
             b.yaml:6:7: entity 'airport' is defined already at b.yaml:2:7\n\
             b.yaml:9:7: unknown kind 'entty' (did you mean 'entity'?): write entity, feature_view, feature_set or gate\n\
             b.yaml:13:1: could not read the YAML: while parsing a node, did not find expected node content\n"
        )
    );
}

#[test]
fn what_a_view_must_not_say() {
    let view = |rest: &str| refused(&format!("kind: feature_view\nname: v\n{rest}"));
    assert_eq!(
        view(""),
        "d.yaml:1:1: feature_view 'v' has no entity: write entity: name\n\
         d.yaml:1:1: feature_view 'v' has no features: write features: {name: type}\n"
    );
    assert_eq!(
        view("entity: a\nentities: [a, b]\nfeatures: {f: bool}\n"),
        "d.yaml:4:11: feature_view 'v' has both 'entity' and 'entities': write one of them\n"
    );
    assert_eq!(
        view(
            "entity: a\nevent_timestamp: _ingested_at\nfeatures:\n  f: {type: bool, column: _sequence}\n  F: bool\n  g: {}\n"
        ),
        "d.yaml:4:18: the column '_ingested_at' is the system's own: a source's column cannot be read under it\n\
         d.yaml:6:27: the column '_sequence' is the system's own: a source's column cannot be read under it\n\
         d.yaml:7:3: features 'f' and 'F' differ only in case: tables cannot tell\n\
         d.yaml:8:6: feature 'g' has no 'type'\n"
    );
    assert_eq!(
        view("entities: [a, a]\nfeatures: [f]\n"),
        "d.yaml:3:15: entity 'a' stands twice in feature_view 'v'\n\
         d.yaml:4:11: 'features' of feature_view 'v' must be a map, not a list\n"
    );
}

#[test]
fn what_an_entity_must_not_say() {
    assert_eq!(
        refused("kind: entity\nname: a__b\njoin_keys: {}\n---\njust text\n---\nname: x\n"),
        "d.yaml:2:7: the name 'a__b' must not have '__', which separates a view from its feature\n\
         d.yaml:3:12: entity 'a__b' has no join keys: write join_keys: {id: int64}\n\
         d.yaml:5:1: a definition is a map of fields, the first of them 'kind'\n\
         d.yaml:7:1: this definition has no 'kind': write entity, feature_view, feature_set or gate\n"
    );
    assert_eq!(
        refused("kind: entity\njoin_keys: {event_timestamp: timestamp}\n"),
        "d.yaml:1:1: entity has no 'name'\n\
         d.yaml:2:13: a join key cannot be called 'event_timestamp', as a column of every table is: use another name, \
         and in the feature view join_keys: {name: event_timestamp}\n"
    );
}

#[test]
fn what_a_set_must_not_say() {
    let set = |rest: &str| refused(&format!("kind: feature_set\nname: s\n{rest}"));
    assert_eq!(set("features: []\n"), "d.yaml:3:11: feature_set 's' has no features: write features: [view:feature]\n");
    assert_eq!(
        set(
            "features:\n- weather\n- weather@champion:x\n- w@0:x\n- {ref: 'w:*', as: x}\n- {as: x}\n- {view: 'w:x'}\n- [w]\n"
        ),
        "d.yaml:4:3: 'weather' names no feature: write weather:feature, or weather:* for all of them\n\
         d.yaml:5:3: 'weather@champion' is no version of a view: write weather@1, or weather for the latest\n\
         d.yaml:6:3: 'w@0' has no valid version after '@': versions count from 1\n\
         d.yaml:7:9: 'as' can rename one feature, not 'w:*': write {view: w, as: alias}\n\
         d.yaml:8:3: an entry of 'features' has neither 'ref' nor 'view'\n\
         d.yaml:9:10: 'w:x' names a feature: write view: w, or a reference by itself\n\
         d.yaml:10:3: an entry of 'features' must be 'view:feature', {ref, as} or {view, as, join_keys}, not a list\n"
    );
    assert_eq!(
        set("features: ['w:x']\nrequest: {p: money}\ntransforms: [{name: t, expr: ' '}, {nme: t, expr: '1'}]\n"),
        "d.yaml:4:14: request field 'p': 'money' is not a type: use bool, int32, int64, float32, float64, string, bytes, \
         timestamp, date, list<T> or vector<float32, N>\n\
         d.yaml:5:14: an entry of 'transforms' has no 'expr': write a SQL scalar expression\n\
         d.yaml:5:36: an entry of 'transforms' has no 'name'\n\
         d.yaml:5:37: unknown field 'nme' in an entry of 'transforms' (did you mean 'name'?)\n"
    );
}

#[test]
fn a_view_in_a_set_goes_by_its_own_name_when_no_alias_is_given() {
    let text = "kind: feature_set\nname: s\nfeatures: [{view: w, join_keys: {a: b}}]\n";
    let Definition::FeatureSet(set) = one(text) else { panic!("a set") };
    let join_keys = [(name("a"), "b".to_owned())].into();
    assert_eq!(set.features, [Member::Aliased { view: name("w"), version: None, alias: name("w"), join_keys }]);
}

#[test]
fn yaml_that_would_grow_or_nest_without_end_is_refused() {
    let level = |n: usize| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9));
    let bomb: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned()).chain((1..9).map(level)).collect();
    assert_eq!(refused(&bomb), "d.yaml:5:10: could not read the YAML: aliases add more than 10000 nodes\n");
    assert_eq!(refused(&"[".repeat(200)), "d.yaml:1:65: could not read the YAML: it nests deeper than 64 levels\n");
    assert_eq!(
        refused("a: &x [*x]\n"),
        "d.yaml:1:8: could not read the YAML: an alias stands inside of its own anchor\n"
    );
    let text = "kind: entity\nname: &n a\njoin_keys: {k: string}\ntags: {of: *n}\n";
    let Definition::Entity(entity) = one(text) else { panic!("an entity") };
    assert_eq!(entity.notes.tags["of"], "a");
}

#[test]
fn a_byte_order_mark_and_other_line_ends_change_nothing() {
    let dos = format!("\u{feff}{}", ALL_FORMS.trim_start().replace('\n', "\r\n"));
    let parsed = parse(&dos).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    assert_eq!(parsed, parse(ALL_FORMS.trim_start()).expect("definitions"));
}

#[test]
fn gates_are_read_and_what_they_cannot_ask_is_refused() {
    let text = "kind: gate\nname: g\nmodel: late\nalias: champion\ndataset: verified\nonline: {max_lag: 10m}\nmetrics:\n\
        - {metric: auc, min: 0.7, slice: carrier=AA}\n- {metric: auc, against: champion, min_change: -0.01}\n";
    let Definition::Gate(gate) = one(text) else { panic!("a gate") };
    assert_eq!((gate.model, gate.alias), (name("late"), name("champion")));
    assert_eq!(gate.dataset, Some(crate::DatasetCondition::Verified));
    assert_eq!(gate.online.and_then(|online| online.max_lag).map(Span::micros), Some(600_000_000));
    let number = |text: &str| text.parse::<crate::Finite>().ok();
    assert_eq!((gate.metrics[0].slice.as_deref(), gate.metrics[0].min), (Some("carrier=AA"), number("0.7")));
    let against = gate.metrics[1].against.as_ref().expect("a comparison");
    assert_eq!((&against.alias, against.min_change, against.max_change), (&name("champion"), number("-0.01"), None));

    let refused = |rest: &str| refused(&format!("kind: gate\nname: g\nmodel: m\nalias: a\n{rest}"));
    assert_eq!(
        refused("dataset: checked\nonline: {lag: 1m}\n"),
        "d.yaml:5:10: 'checked' is nothing that a dataset can be asked for: write dataset: verified\n\
         d.yaml:6:10: unknown field 'lag' in 'online'\n"
    );
    assert_eq!(
        refused(
            "metrics:\n- {min: 1}\n- {metric: a}\n- {metric: a, min: x}\n- {metric: a, min: 2, max: 1}\n\
             - {metric: a, against: b}\n- {metric: a, min_change: 1}\n"
        ),
        "d.yaml:6:3: an entry of 'metrics' has no 'metric': write {metric: auc, min: 0.7}\n\
         d.yaml:7:3: an entry of 'metrics' bounds nothing: write min, max, or against with min_change\n\
         d.yaml:8:20: min: 'x' is not a finite number: write it like 0.71\n\
         d.yaml:9:3: min and max leave nothing: 2 is more than 1\n\
         d.yaml:10:3: 'against' needs min_change or max_change: by how much may it change?\n\
         d.yaml:11:3: a change needs 'against': write against: champion\n"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(at in 0..ALL_FORMS.len(), cut in 0..40_usize, put in "[-:{}\\[\\]&*!|>'\"%@#,\\n \\t\\PC]{0,6}") {
        let text: Vec<char> = ALL_FORMS.chars().collect();
        let end = (at + cut).min(text.len());
        let text: String = text[..at].iter().copied().chain(put.chars()).chain(text[end..].iter().copied()).collect();
        if let Err(problems) = parse(&text) {
            proptest::prop_assert!(problems.iter().all(|problem| problem.line > 0 && problem.column > 0), "{}", lines(&problems));
        }
    }
}
