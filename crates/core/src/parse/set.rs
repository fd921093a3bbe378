//! `kind: feature_set`.

use std::collections::BTreeMap;

use super::fields::{Fields, Findings, checked_name, parse_scalar};
use super::node::{Content, Node};
use super::view::columns_by_key;
use crate::{FeatureSet, Marks, Member, Name, Position, Selector, Transform, ValueType};

pub(super) const FIELDS: [&str; 7] = ["kind", "name", "features", "request", "transforms", "description", "tags"];

pub(super) fn parse(
    name: Option<Name>,
    fields: &Fields<'_>,
    marks: &mut Marks,
    findings: &mut Findings,
) -> Option<FeatureSet> {
    let members = fields.list("features", findings);
    let node = fields.get("features");
    if members.is_empty() && node.is_none_or(|node| matches!(node.content, Content::List(_))) {
        let at = node.map_or(fields.at, |node| node.at);
        findings.push(at, format!("{} has no features: write features: [view:feature]", fields.what));
    }
    let mut features = Vec::with_capacity(members.len());
    for (index, item) in members.iter().enumerate() {
        let path = format!("features[{index}]");
        marks.set(path.as_str(), item.at);
        features.extend(member(item, &path, marks, findings));
    }
    let request = request(fields, marks, findings);
    let transforms = transforms(fields, marks, findings);
    Some(FeatureSet { name: name?, features, request, transforms, notes: fields.notes(findings) })
}

fn member(item: &Node, path: &str, marks: &mut Marks, findings: &mut Findings) -> Option<Member> {
    let what = "an entry of 'features'";
    match &item.content {
        Content::Scalar(text) => reference(text, item.at, findings),
        Content::Map(_) if super::node::field(item, "view").is_some() => {
            let fields = Fields::open(item, what, &["view", "as", "join_keys"], findings)?;
            aliased(&fields, path, marks, findings)
        }
        Content::Map(_) => {
            let fields = Fields::open(item, what, &["ref", "as", "view"], findings)?;
            renamed(&fields, findings)
        }
        _ => {
            let message = format!(
                "{what} must be 'view:feature', {{ref, as}} or {{view, as, join_keys}}, not {}",
                item.describe()
            );
            findings.push(item.at, message);
            None
        }
    }
}

/// `view:feature`, `view@1:feature`, `view:*`.
fn reference(text: &str, at: Position, findings: &mut Findings) -> Option<Member> {
    let Some((view, feature)) = text.split_once(':') else {
        findings.push(at, format!("'{text}' names no feature: write {text}:feature, or {text}:* for all of them"));
        return None;
    };
    let view = view_version(view.trim(), at, findings);
    if feature.trim() == "*" {
        let (view, version) = view?;
        return Some(Member::All { view, version });
    }
    let feature = checked_name(feature.trim(), at, findings);
    let (view, version) = view?;
    Some(Member::One { view, version, feature: feature?, rename: None })
}

/// `{ref: view:feature, as: name}`.
fn renamed(fields: &Fields<'_>, findings: &mut Findings) -> Option<Member> {
    let Some(node) = fields.get("ref") else {
        findings.push(fields.at, "an entry of 'features' has neither 'ref' nor 'view'");
        return None;
    };
    let text = fields.text("ref", findings)?;
    let name = fields.get("as").map(|_| fields.required_name("as", findings));
    match (reference(text, node.at, findings)?, name) {
        (member, None) => Some(member),
        (Member::One { view, version, feature, .. }, Some(name)) => {
            Some(Member::One { view, version, feature, rename: Some(name?) })
        }
        (Member::All { view, .. } | Member::Aliased { view, .. }, Some(_)) => {
            let message = format!("'as' can rename one feature, not '{text}': write {{view: {view}, as: alias}}");
            findings.push(node.at, message);
            None
        }
    }
}

/// `{view: v, as: alias, join_keys: {…}}`; without `as` the alias is the view's name.
fn aliased(fields: &Fields<'_>, path: &str, marks: &mut Marks, findings: &mut Findings) -> Option<Member> {
    let node = fields.get("view")?;
    let text = fields.text("view", findings);
    let view = text.and_then(|text| {
        if let Some((view, _)) = text.split_once(':') {
            findings.push(node.at, format!("'{text}' names a feature: write view: {view}, or a reference by itself"));
            return None;
        }
        view_version(text, node.at, findings)
    });
    let alias = fields.get("as").map(|_| fields.required_name("as", findings));
    let mut keys = Marks::default();
    let join_keys = columns_by_key(fields.map("join_keys", findings), &mut keys, findings);
    for key in join_keys.keys() {
        let key = format!("join_keys.{key}");
        marks.set(format!("{path}.{key}"), keys.at(&key));
    }
    let (view, version) = view?;
    let alias = match alias {
        Some(alias) => alias?,
        None => view.clone(),
    };
    Some(Member::Aliased { view, version, alias, join_keys })
}

fn view_version(text: &str, at: Position, findings: &mut Findings) -> Option<(Name, Option<u32>)> {
    match text.parse() {
        Ok(Selector::Latest(name)) => Some((name, None)),
        Ok(Selector::Version(versioned)) => Some((versioned.name, Some(versioned.version))),
        Ok(Selector::Alias(name, alias)) => {
            findings.push(
                at,
                format!("'{name}@{alias}' is no version of a view: write {name}@1, or {name} for the latest"),
            );
            None
        }
        Err(e) => {
            findings.push(at, format!("{e}"));
            None
        }
    }
}

fn request(fields: &Fields<'_>, marks: &mut Marks, findings: &mut Findings) -> BTreeMap<Name, ValueType> {
    let mut request = BTreeMap::new();
    for entry in fields.map("request", findings) {
        marks.set(format!("request.{}", entry.key), entry.at);
        let value_type = parse_scalar(entry.value, &format!("request field '{}'", entry.key), findings);
        if let (Some(name), Some(value_type)) = (checked_name(entry.key, entry.at, findings), value_type) {
            request.insert(name, value_type);
        }
    }
    request
}

fn transforms(fields: &Fields<'_>, marks: &mut Marks, findings: &mut Findings) -> Vec<Transform> {
    let mut transforms = Vec::new();
    for (index, item) in fields.list("transforms", findings).iter().enumerate() {
        marks.set(format!("transforms[{index}]"), item.at);
        let what = "an entry of 'transforms'";
        let Some(fields) = Fields::open(item, what, &["name", "expr"], findings) else { continue };
        let name = fields.required_name("name", findings);
        let expr = fields.text("expr", findings);
        if expr.is_some_and(str::is_empty) || fields.get("expr").is_none() {
            findings.push(fields.at, format!("{what} has no 'expr': write a SQL scalar expression"));
            continue;
        }
        if let (Some(name), Some(expr)) = (name, expr) {
            transforms.push(Transform { name, expr: expr.to_owned() });
        }
    }
    transforms
}
