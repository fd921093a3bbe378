//! `kind: gate`.

use super::fields::{Fields, Findings, parse_name};
use super::node::Node;
use crate::{Against, DatasetCondition, Finite, Gate, Marks, MetricCondition, Name, OnlineCondition, Span};

pub(super) const FIELDS: [&str; 9] =
    ["kind", "name", "model", "alias", "dataset", "online", "metrics", "description", "tags"];

const METRIC_FIELDS: [&str; 7] = ["metric", "slice", "min", "max", "against", "min_change", "max_change"];

pub(super) fn parse(
    name: Option<Name>,
    fields: &Fields<'_>,
    marks: &mut Marks,
    findings: &mut Findings,
) -> Option<Gate> {
    for field in FIELDS {
        if let Some(node) = fields.get(field) {
            marks.set(field, node.at);
        }
    }
    let model = fields.required_name("model", findings);
    let alias = fields.required_name("alias", findings);
    let dataset = dataset(fields, findings);
    let online = fields.get("online").and_then(|node| online(node, findings));
    let items = fields.list("metrics", findings);
    let metrics = items.iter().filter_map(|item| metric(item, findings)).collect();
    let notes = fields.notes(findings);
    Some(Gate { name: name?, model: model?, alias: alias?, dataset, online, metrics, notes })
}

fn dataset(fields: &Fields<'_>, findings: &mut Findings) -> Option<DatasetCondition> {
    match fields.text("dataset", findings)? {
        "verified" => Some(DatasetCondition::Verified),
        other => {
            let at = fields.get("dataset").map_or(fields.at, |node| node.at);
            findings.push(at, format!("'{other}' is nothing that a dataset can be asked for: write dataset: verified"));
            None
        }
    }
}

fn online(node: &Node, findings: &mut Findings) -> Option<OnlineCondition> {
    let fields = Fields::open(node, "'online'", &["max_lag"], findings)?;
    Some(OnlineCondition { max_lag: fields.parsed::<Span>("max_lag", findings) })
}

fn metric(item: &Node, findings: &mut Findings) -> Option<MetricCondition> {
    let before = findings.len();
    let what = "an entry of 'metrics'";
    let fields = Fields::open(item, what, &METRIC_FIELDS, findings)?;
    let metric = fields.text("metric", findings).map(str::to_owned);
    if fields.get("metric").is_none() {
        findings.push(item.at, format!("{what} has no 'metric': write {{metric: auc, min: 0.7}}"));
    }
    let slice = fields.text("slice", findings).map(str::to_owned);
    let mut number = |field: &str| fields.parsed::<Finite>(field, findings);
    let [min, max, min_change, max_change] = ["min", "max", "min_change", "max_change"].map(&mut number);
    for (least, most, names) in [(min, max, "min and max"), (min_change, max_change, "min_change and max_change")] {
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            findings.push(item.at, format!("{names} leave nothing: {least} is more than {most}"));
        }
    }
    let alias = fields.get("against").and_then(|node| parse_name(node, "'against'", findings));
    let has = |field: &str| fields.get(field).is_some();
    match (has("against"), has("min_change") || has("max_change")) {
        (true, false) => findings.push(item.at, "'against' needs min_change or max_change: by how much may it change?"),
        (false, true) => findings.push(item.at, "a change needs 'against': write against: champion"),
        (false, false) if !has("min") && !has("max") => {
            findings.push(item.at, format!("{what} bounds nothing: write min, max, or against with min_change"));
        }
        _ => {}
    }
    if findings.len() > before {
        return None;
    }
    let against = alias.map(|alias| Against { alias, min_change, max_change });
    Some(MetricCondition { metric: metric?, slice, min, max, against })
}
