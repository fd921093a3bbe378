use super::*;
use crate::{GateVersion, ResolvedSet, Selector, parse_definitions};

const BASE: &str = "
kind: entity
name: airport
join_keys: {iata: string}
---
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: weather
entity: airport
source_delay: 10m
ttl: 2d
features: {wind: float32, gust: float32}
---
kind: feature_view
name: legs
entity: aircraft
created_timestamp: created
features: {delay: float32}
---
kind: feature_set
name: late
features:
  - legs:delay
  - {ref: 'weather:gust', as: gust}
  - {view: weather, as: dest, join_keys: {iata: to}}
request: {prepaid: float64}
transforms: [{name: gusty, expr: gust > 25}]
";

fn definitions(text: &str) -> Vec<Located<Definition>> {
    parse_definitions(&[("d.yaml".to_owned(), text.to_owned())]).expect("definitions that parse")
}

fn planned(catalog: &Catalog, text: &str) -> Plan {
    plan(catalog, &definitions(text), NewTables::Allow).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn applied(texts: &[&str]) -> Catalog {
    texts.iter().fold(Catalog::default(), |catalog, text| planned(&catalog, text).catalog_after(&catalog))
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(Change::to_string).collect()
}

fn refused(catalog: &Catalog, text: &str) -> Vec<String> {
    let problems = plan(catalog, &definitions(text), NewTables::Refuse).expect_err("must be refused");
    problems.iter().map(Problem::to_string).collect()
}

fn latest_set(catalog: &Catalog, name: &str) -> ResolvedSet {
    let selector: Selector = name.parse().expect("a selector");
    catalog.set(&selector).expect("a set").resolved.clone()
}

#[test]
fn new_definitions_are_created_and_then_unchanged() {
    let first = planned(&Catalog::default(), BASE);
    assert_eq!(
        lines(&first),
        [
            "+ entity airport (iata: string)",
            "+ entity aircraft (tailnum: string)",
            "+ feature_view weather (key iata: string, wind: float32, gust: float32, source_delay 10m, ttl 2d)",
            "+ feature_view legs (key tailnum: string, delay: float32)",
            "+ feature_set late (legs__delay: float32, gust: float32, dest__wind: float32, dest__gust: float32, \
             request prepaid: float64, gusty = gust > 25)",
        ]
    );
    assert_eq!((first.base_revision, first.records.len()), (0, 7));
    let catalog = first.catalog_after(&Catalog::default());
    assert_eq!(catalog.revision, 1);
    let again = planned(&catalog, BASE);
    assert_eq!(again.records, []);
    assert_eq!(again.base_revision, 1);
    assert_eq!(
        lines(&again),
        [
            "= entity airport@1 unchanged",
            "= entity aircraft@1 unchanged",
            "= feature_view weather@1 unchanged",
            "= feature_view legs@1 unchanged",
            "= feature_set late@1 unchanged",
        ]
    );
    assert_eq!(again.catalog_after(&catalog), catalog);
}

#[test]
fn another_reading_is_a_new_version_on_the_same_table() {
    let change = "kind: feature_view\nname: weather\nentity: airport\njoin_keys: {iata: origin}\nttl: 3d\n\
                  features: {wind: {type: float32, column: w}, visib: float32}";
    let catalog = applied(&[BASE]);
    let next = planned(&catalog, change);
    assert_eq!(
        lines(&next),
        [
            "~ feature_view weather@2 (was @1): column of key iata iata -> origin, source_delay 10m -> 0s, ttl 2d -> 3d, \
          column of wind wind -> w, + feature visib: float32, - feature gust"
        ]
    );
    let after = next.catalog_after(&catalog);
    assert_eq!(after.views["weather"][1].table, "weather-1");
    let columns: Vec<_> = after.tables["weather-1"].columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(columns, ["wind", "gust", "visib"]);
    // the feature comes back: its column is there still
    let back = "kind: feature_view\nname: weather\nentity: airport\nfeatures: {gust: float32, wind: float32}";
    let third = planned(&after, back).catalog_after(&after);
    assert_eq!((third.views["weather"][2].version, &third.tables), (3, &after.tables));
    assert_eq!(third.live_versions("weather").len(), 3);
}

#[test]
fn the_order_of_features_decides_what_a_set_gets() {
    let swapped = BASE.replace("{wind: float32, gust: float32}", "{gust: float32, wind: float32}");
    let plan = planned(&applied(&[BASE]), &swapped);
    assert_eq!(lines(&plan)[2], "~ feature_view weather@2 (was @1): order of the features");
    assert_eq!(lines(&plan)[4], "~ feature_set late@2 (was @1): weather@1 -> weather@2, weather@1 -> weather@2");
}

#[test]
fn notes_make_no_version() {
    let catalog = applied(&[BASE]);
    let noted = BASE
        .replace("join_keys: {iata: string}", "join_keys: {iata: string}\ntags: {a: b}")
        .replace("gust: float32}", "gust: {type: float32, description: peak}}")
        .replace("name: late\n", "name: late\ndescription: d\ntags: {a: b}\n");
    let plan = planned(&catalog, &noted);
    assert_eq!(
        lines(&plan),
        [
            ". entity airport@1: tags only",
            "= entity aircraft@1 unchanged",
            ". feature_view weather@1: description only",
            "= feature_view legs@1 unchanged",
            ". feature_set late@1: description and tags only",
        ]
    );
    let after = plan.catalog_after(&catalog);
    assert_eq!(after.views["weather"].len(), 1);
    assert_eq!(after.views["weather"][0].definition.features[1].notes.description.as_deref(), Some("peak"));
    assert_eq!(latest_set(&after, "late"), latest_set(&catalog, "late"));
    assert_eq!(planned(&after, &noted).records, []);
}

#[test]
fn keys_types_and_time_columns_want_a_new_table() {
    let catalog = applied(&[BASE]);
    let change = "kind: entity\nname: aircraft\njoin_keys: {tailnum: int64}\n---\n\
                  kind: feature_view\nname: legs\nentity: aircraft\nevent_timestamp: at\nfeatures:\n  delay: float64\n";
    let why = "key tailnum string -> int64, feature delay float32 -> float64, event_timestamp event_timestamp -> at, \
               created_timestamp created -> none";
    assert_eq!(
        refused(&catalog, change),
        [format!(
            "d.yaml:7:9: feature_view 'legs' would need a new table, whose history must be ingested again ({why}): if that \
             is meant, apply with --allow-new-table"
        )]
    );
    let plan = planned(&catalog, change);
    assert_eq!(
        lines(&plan),
        [
            "~ entity aircraft@2 (was @1): key tailnum string -> int64".to_owned(),
            format!("! feature_view legs@2: new table legs-2, its history must be ingested again: {why}"),
        ]
    );
    let after = plan.catalog_after(&catalog);
    assert_eq!(after.views["legs"][1].table, "legs-2");
    assert_eq!(after.tables["legs-1"], catalog.tables["legs-1"]);
    assert_eq!(after.live_versions("legs").len(), 1);
    // a set is not touched by the apply of its views
    assert_eq!(after.sets, catalog.sets);
}

#[test]
fn a_view_keeps_the_keys_with_which_it_was_applied() {
    let catalog = applied(&[BASE, "kind: entity\nname: aircraft\njoin_keys: {tail: string}"]);
    assert_eq!(catalog.views["legs"].len(), 1);
    let again =
        "kind: feature_view\nname: legs\nentity: aircraft\ncreated_timestamp: created\nfeatures: {delay: float32}";
    assert_eq!(
        lines(&planned(&catalog, again)),
        [
            "! feature_view legs@2: new table legs-2, its history must be ingested again: + key tail: string, - key tailnum"
        ]
    );
}

#[test]
fn a_set_pins_until_it_is_applied_again() {
    let grown = "kind: feature_view\nname: weather\nentity: airport\nsource_delay: 10m\nttl: 1d\n\
                 features: {wind: float32, gust: float32, visib: float32}";
    let catalog = applied(&[BASE, grown]);
    assert_eq!(latest_set(&catalog, "late").uses[1].view.to_string(), "weather@1");
    let set = BASE.rsplit("---").next().expect("the set");
    let plan = planned(&catalog, set);
    assert_eq!(
        lines(&plan),
        ["~ feature_set late@2 (was @1): weather@1 -> weather@2, weather@1 -> weather@2, + dest__visib: float32"]
    );
    let after = plan.catalog_after(&catalog);
    let names: Vec<_> = latest_set(&after, "late").outputs.into_iter().map(|output| output.name).collect();
    assert_eq!(names, ["legs__delay", "gust", "dest__wind", "dest__gust", "dest__visib"]);
    let columns: Vec<_> = latest_set(&after, "late").uses[2].keys.iter().map(|key| key.spine_column.clone()).collect();
    assert_eq!(columns, ["to"]);
    let pinned = latest_set(&applied(&[BASE, grown, "kind: feature_set\nname: p\nfeatures: ['weather@1:*']"]), "p");
    assert_eq!((pinned.uses.len(), pinned.outputs.len(), pinned.uses[0].view.version), (1, 2, 1));
}

#[test]
fn references_that_lead_nowhere_are_refused_where_they_stand() {
    let text = "kind: feature_view\nname: v\nentities: [airprot, aircraft]\njoin_keys: {x: y}\nfeatures: {f: bool}\n---\n\
                kind: feature_view\nname: w\nentity: aircraft\njoin_keys: {tailnmu: y}\nfeatures: {TailNum: bool}\n---\n\
                kind: feature_set\nname: s\nfeatures:\n- wether:gust\n- weather:gusst\n- weather@7:gust\n- v:f\n---\n\
                kind: feature_set\nname: r\nfeatures:\n- wether:gust\n- weather:gusst\n- weather@7:gust\n\
                - {view: weather, as: d, join_keys: {iat: to}}\n";
    assert_eq!(
        refused(&applied(&[BASE]), text),
        [
            "d.yaml:3:12: unknown entity 'airprot' (did you mean 'airport'?)",
            "d.yaml:10:13: 'tailnmu' is no entity key of feature_view 'w' (did you mean 'tailnum'?)",
            "d.yaml:11:12: feature 'TailNum' has the name of an entity key: use another name, with column: TailNum",
            "d.yaml:24:3: unknown feature_view 'wether' (did you mean 'weather'?)",
            "d.yaml:25:3: weather@1 has no feature 'gusst' (did you mean 'gust'?)",
            "d.yaml:26:3: feature_view 'weather' has no version 7: its latest is 1",
            "d.yaml:27:38: 'iat' is no entity key of weather@1 (did you mean 'iata'?)",
        ]
    );
}

#[test]
fn names_that_clash_in_a_set_are_refused() {
    let grown = "kind: feature_view\nname: weather\nentity: airport\nfeatures: {wind: float32}";
    let text = "kind: feature_set\nname: s\nfeatures:\n- weather:wind\n- weather:*\n- weather@1:gust\n\
                - {ref: 'legs:delay', as: iata}\n- {view: weather, as: legs}\n- {view: weather, as: b, join_keys: {iata: p}}\n\
                - {ref: 'legs:delay', as: event_timestamp}\nrequest: {p: int64}\ntransforms: [{name: p, expr: '1'}]\n";
    assert_eq!(
        refused(&applied(&[BASE, grown]), text),
        [
            "d.yaml:5:3: 'weather__wind' names both weather:wind and weather:wind: rename one of them",
            "d.yaml:6:3: weather@2 and weather@1 would share the alias 'weather': write {view: weather@1, as: another_name} \
             for one of them",
            "d.yaml:7:3: 'iata' names both the spine's key 'iata' and legs:delay: rename one of them",
            "d.yaml:8:3: the alias 'legs' stands for legs@1 already: use another one",
            "d.yaml:10:3: 'event_timestamp' names both the spine's time and legs:delay: rename one of them",
            "d.yaml:11:11: 'p' names both the spine's key 'iata' and a request field: rename one of them",
            "d.yaml:12:14: 'p' names both the spine's key 'iata' and a transform: rename one of them",
        ]
    );
}

#[test]
fn one_spine_column_cannot_be_keys_of_two_types() {
    let text = "kind: entity\nname: a\njoin_keys: {id: int32}\n---\nkind: entity\nname: b\njoin_keys: {id: int64}\n---\n\
                kind: entity\nname: c\njoin_keys: {id: string}\n---\n\
                kind: feature_view\nname: va\nentity: a\nfeatures: {f: bool}\n---\n\
                kind: feature_view\nname: vb\nentity: b\nfeatures: {f: bool}\n---\n\
                kind: feature_view\nname: vc\nentity: c\nfeatures: {f: bool}\n---\n\
                kind: feature_view\nname: vd\nentities: [a, b]\nfeatures: {f: bool}\n---\n\
                kind: feature_set\nname: s\nfeatures: ['va:f', 'vb:f', 'vc:f']\n";
    assert_eq!(
        refused(&Catalog::default(), text),
        [
            "d.yaml:30:15: the entities 'a' and 'b' have keys that clash: id: int32 and id: int64",
            "d.yaml:35:28: the spine's column 'id' would be int32 for 'va' and string for 'vc': map one of them with \
             join_keys: {id: another_column}",
        ]
    );
}

#[test]
fn features_that_differ_in_case_from_a_column_are_refused() {
    let text =
        "kind: feature_view\nname: legs\nentity: aircraft\ncreated_timestamp: created\nfeatures: {Delay: float32}";
    assert_eq!(
        refused(&applied(&[BASE]), text),
        [
            "d.yaml:5:12: feature 'Delay' differs only in case from 'delay', a column of table legs-1: use another name, with \
          column: Delay"
        ]
    );
}

#[test]
fn definitions_that_come_twice_are_refused() {
    let twice: Vec<_> = definitions(BASE).into_iter().chain(definitions(BASE)).collect();
    let problems = plan(&Catalog::default(), &twice, NewTables::Allow).expect_err("must be refused");
    assert_eq!(problems.len(), 5);
    assert_eq!(problems[0].to_string(), "d.yaml:3:7: entity 'airport' is defined twice");
}

#[test]
fn a_change_is_json_too() {
    let plan = planned(&applied(&[BASE]), "kind: entity\nname: airport\njoin_keys: {icao: string}");
    assert_eq!(
        serde_json::to_string(&plan.changes).expect("JSON"),
        r#"[{"action":"new_version","kind":"entity","name":"airport","version":2,"previous":1,"new_table":null,"#
            .to_owned()
            + r#""details":["+ key icao: string","- key iata"]}]"#
    );
}

#[test]
fn a_set_applied_again_pins_a_new_version_though_its_hash_is_the_same() {
    let grown = "kind: feature_view\nname: legs\nentity: aircraft\ncreated_timestamp: created\n\
                 features: {delay: float32, more: bool}";
    let catalog = applied(&[BASE, grown]);
    let plan = planned(&catalog, BASE.rsplit("---").next().expect("the set"));
    assert_eq!(lines(&plan), ["~ feature_set late@2 (was @1): legs@1 -> legs@2"]);
    let sets = &plan.catalog_after(&catalog).sets["late"];
    assert_eq!(sets[0].hash, sets[1].hash);
    assert_eq!(sets[1].resolved.uses[0].view.to_string(), "legs@2");
}

#[test]
fn a_ttl_of_zero_is_none() {
    let mut zero = definitions(BASE);
    let unlimited: Vec<_> = definitions(&BASE.replace("ttl: 2d\n", ""));
    let Definition::FeatureView(weather) = &mut zero[2].definition else { panic!("the view") };
    weather.ttl = Some(crate::Span::ZERO);
    let first = plan(&Catalog::default(), &zero, NewTables::Refuse).expect("a plan");
    let catalog = first.catalog_after(&Catalog::default());
    assert_eq!(plan(&catalog, &unlimited, NewTables::Refuse).expect("a plan").records, []);
}

#[test]
fn a_gate_has_versions_and_stays_with_its_alias() {
    let gate = |rest: &str| format!("kind: gate\nname: g\nmodel: late\nalias: champion\n{rest}");
    let first = gate("metrics: [{metric: auc, min: 0.7}, {metric: auc, against: champion, min_change: -0.01}]\n");
    let catalog = applied(&[&first]);
    let plan = planned(&Catalog::default(), &first);
    assert_eq!(lines(&plan), ["+ gate g (late@champion, auc min 0.7, auc against champion min_change -0.01)"]);
    assert_eq!(lines(&planned(&catalog, &first)), ["= gate g@1 unchanged"]);
    assert_eq!(lines(&planned(&catalog, &format!("{first}description: bar\n"))), [". gate g@1: description only"]);
    let second = gate("dataset: verified\nmetrics: [{metric: auc, min: 0.8}]\n");
    let plan = planned(&catalog, &second);
    assert_eq!(
        lines(&plan),
        [
            "~ gate g@2 (was @1): + dataset: verified, + auc min 0.8, - auc min 0.7, - auc against champion min_change -0.01"
        ]
    );
    let after = plan.catalog_after(&catalog);
    let name = |text: &str| text.parse().expect("a name");
    let found = |alias: &str| after.gate(&name("late"), &name(alias)).map(GateVersion::versioned_name);
    assert_eq!(found("champion").map(|gate| gate.to_string()).as_deref(), Some("g@2"));
    assert_eq!(found("challenger"), None);

    let other = "kind: gate\nname: h\nmodel: late\nalias: champion\n";
    assert_eq!(refused(&catalog, other), ["d.yaml:4:8: late@champion has the gate 'g' already: change that one"]);
    let moved = "kind: gate\nname: g\nmodel: late\nalias: challenger\n";
    assert_eq!(
        refused(&catalog, moved),
        ["d.yaml:4:8: gate 'g' guards late@champion: give the gate of late@challenger another name"]
    );
}
