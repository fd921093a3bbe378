use std::collections::BTreeMap;

use super::*;
use crate::{Gate, NewEvaluation, Notes, OnlineCondition};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn number(value: f64) -> Finite {
    Finite::new(value).expect("a finite number")
}

fn evaluation(version: u32, metrics: &[(&str, f64)]) -> Evaluation {
    let metrics = metrics.iter().map(|&(name, value)| (name.to_owned(), number(value))).collect();
    NewEvaluation { metrics, ..NewEvaluation::default() }.of(name("late"), version, Timestamp(0))
}

fn at_least(metric: &str, min: f64) -> MetricCondition {
    MetricCondition { metric: metric.to_owned(), slice: None, min: Some(number(min)), max: None, against: None }
}

fn no_worse_than(alias: &str, metric: &str, min_change: f64) -> MetricCondition {
    let against = Against { alias: name(alias), min_change: Some(number(min_change)), max_change: None };
    MetricCondition { metric: metric.to_owned(), slice: None, min: None, max: None, against: Some(against) }
}

fn gate(metrics: Vec<MetricCondition>) -> GateVersion {
    let definition = Gate {
        name: name("champion_gate"),
        model: name("late"),
        alias: name("champion"),
        dataset: None,
        online: None,
        metrics,
        notes: Notes::default(),
    };
    GateVersion { version: 3, definition }
}

fn facts() -> GateFacts {
    let weather = VersionedName { name: name("weather"), version: 1 };
    GateFacts {
        model: VersionedName { name: name("late"), version: 2 },
        alias: name("champion"),
        now: Timestamp(3_600_000_000),
        views: vec![ViewState { view: weather, online_at: Some(Timestamp(3_000_000_000)) }],
        dataset: None,
        evaluations: Vec::new(),
        holders: BTreeMap::new(),
    }
}

/// Per condition: whether it passed, and how it prints.
fn found(gate: &GateVersion, facts: &GateFacts) -> Vec<(bool, String)> {
    let report = GateReport::of(Some(gate), facts);
    assert_eq!(report.passed, report.failed().next().is_none());
    let conditions = report.conditions.into_iter().skip(1);
    conditions.map(|condition| (condition.passed, condition.to_string())).collect()
}

#[test]
fn without_a_gate_views_must_be_online() {
    let mut facts = facts();
    let report = GateReport::of(None, &facts);
    assert_eq!((report.passed, report.gate, report.conditions.len()), (true, None, 1));
    facts.views[0].online_at = None;
    let report = GateReport::of(None, &facts);
    assert!(!report.passed);
    assert_eq!(report.conditions[0].to_string(), "every view is online: not in the online store: weather@1");
}

#[test]
fn the_latest_evaluation_that_has_a_metric_counts() {
    let mut facts = facts();
    let gate = gate(vec![at_least("auc", 0.7)]);
    let missing = "auc is at least 0.7: no evaluation of late@2 has auc".to_owned();
    assert_eq!(found(&gate, &facts), [(false, missing)]);
    facts.evaluations = vec![evaluation(2, &[("auc", 0.9)]), evaluation(2, &[("auc", 0.69)])];
    facts.evaluations.push(evaluation(2, &[("f1", 1.0)]));
    assert_eq!(found(&gate, &facts), [(false, "auc is at least 0.7: 0.69".to_owned())]);
    facts.evaluations.push(evaluation(2, &[("auc", 0.7)]));
    assert_eq!(found(&gate, &facts), [(true, "auc is at least 0.7: 0.7".to_owned())], "the bound itself passes");
}

#[test]
fn figures_and_slices_are_bounded_too() {
    let mut facts = facts();
    let mut measured = evaluation(2, &[("auc", 0.8)]);
    measured.figures.insert("cost_usd".to_owned(), number(2.5));
    measured.slices.insert("carrier=AA".to_owned(), BTreeMap::from([("auc".to_owned(), number(0.6))]));
    facts.evaluations.push(measured);
    let costs = MetricCondition { min: None, max: Some(number(2.0)), ..at_least("cost_usd", 0.0) };
    let slice = MetricCondition { slice: Some("carrier=AA".to_owned()), ..at_least("auc", 0.5) };
    assert_eq!(
        found(&gate(vec![costs, slice]), &facts),
        [(false, "cost_usd is at most 2: 2.5".to_owned()), (true, "auc of carrier=AA is at least 0.5: 0.6".to_owned()),]
    );
}

#[test]
fn a_change_is_held_against_the_holder_of_the_alias() {
    let mut facts = facts();
    let gate = gate(vec![no_worse_than("champion", "auc", -0.01)]);
    let text = "auc against champion changes by at least -0.01: ";
    assert_eq!(found(&gate, &facts), [(true, format!("{text}there is no champion yet"))]);
    facts.holders.insert(name("champion"), Holder { version: 1, evaluations: Vec::new() });
    assert_eq!(found(&gate, &facts), [(false, format!("{text}no evaluation of late@2 has auc"))]);
    facts.evaluations.push(evaluation(2, &[("auc", 0.70)]));
    assert_eq!(found(&gate, &facts), [(false, format!("{text}no evaluation of late@1 has auc"))]);
    for (held, passed, change) in [(0.71, true, "-0.01"), (0.7101, false, "-0.0101"), (0.6, true, "0.1")] {
        let evaluations = vec![evaluation(1, &[("auc", held)])];
        facts.holders.insert(name("champion"), Holder { version: 1, evaluations });
        let said = format!("{text}0.7 after {held} of late@1, a change of {change}");
        assert_eq!(found(&gate, &facts), [(passed, said)]);
    }
    facts.holders.insert(name("champion"), Holder { version: 2, evaluations: Vec::new() });
    assert_eq!(found(&gate, &facts), [(true, format!("{text}it is champion itself"))]);
}

#[test]
fn the_latest_verdict_counts_if_it_is_on_the_recorded_file() {
    let mut facts = facts();
    let mut gate = gate(Vec::new());
    gate.definition.dataset = Some(DatasetCondition::Verified);
    let verdict = |file_hash: &str, proven, at| StoredVerdict {
        dataset: "d1".to_owned(),
        file_hash: file_hash.to_owned(),
        proven,
        at: Timestamp(at),
        by: "ada".to_owned(),
        report: serde_json::Value::Null,
    };
    let said = |facts: &GateFacts| found(&gate, facts).remove(0);
    assert_eq!(said(&facts), (false, "the dataset is verified: the version names no dataset".to_owned()));
    facts.dataset = Some(DatasetState { id: "d1".to_owned(), file_hash: "now".to_owned(), verdicts: Vec::new() });
    assert_eq!(said(&facts), (false, "the dataset is verified: nobody has verified the file of dataset d1".to_owned()));
    for (proven, word) in [(true, "proven"), (false, "not proven")] {
        facts.dataset.as_mut().expect("a dataset").verdicts.push(verdict("now", proven, 0));
        let text = format!("the dataset is verified: dataset d1 was {word} by ada at 1970-01-01T00:00:00Z");
        assert_eq!(said(&facts), (proven, text));
    }
    for (file, passed) in [("other", false), ("now", true)] {
        facts.dataset.as_mut().expect("a dataset").verdicts.push(verdict(file, true, 0));
        let (found, text) = said(&facts);
        assert_eq!(found, passed, "{text}");
        let other = "the dataset is verified: what ada found at 1970-01-01T00:00:00Z is of another file than that of dataset d1";
        assert_eq!(text == other, !passed, "{text}");
    }
}

#[test]
fn lag_is_the_distance_of_the_marks_clock() {
    let mut facts = facts();
    let mut gate = gate(Vec::new());
    let mut said = |max_lag: &str, facts: &GateFacts| {
        gate.definition.online = Some(OnlineCondition { max_lag: Some(max_lag.parse().expect("a span")) });
        found(&gate, facts).remove(0)
    };
    assert_eq!(said("10m", &facts), (true, "every view is at most 10m behind: at most 10m behind".to_owned()));
    facts.now.0 += 1;
    assert_eq!(said("10m", &facts), (false, "every view is at most 10m behind: weather@1 is 601s behind".to_owned()));
    facts.views[0].online_at = None;
    assert_eq!(said("10m", &facts), (false, "every view is at most 10m behind: weather@1 is not online".to_owned()));
}
