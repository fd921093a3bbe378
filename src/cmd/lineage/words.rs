//! A node of a lineage in one line.

use hitherto_engine::{Edge, Node, NodeKind, Relation};
use serde_json::Value;

use crate::output::thousands;

/// The node, as it is reached by `edge`, if it is.
pub(super) fn line(node: &Node, edge: Option<&Edge>) -> String {
    let told = Attributes(node);
    let mut parts = vec![format!("{} {}", node.id.kind.title(), name(&told))];
    parts.extend(edge.and_then(reached));
    parts.extend(match node.id.kind {
        NodeKind::Entity => told.pairs("join_keys"),
        NodeKind::Batch => batch(&told),
        NodeKind::DataFile => data_file(&told),
        NodeKind::FeatureView => feature_view(&told),
        NodeKind::Feature => told.text("type").map(str::to_owned).into_iter().collect(),
        NodeKind::FeatureSet => told.text("hash").map(|hash| format!("hash {}", short(hash))).into_iter().collect(),
        NodeKind::Dataset => dataset(&told),
        NodeKind::Model => model(&told),
        NodeKind::Gate => told.texts("conditions").into_iter().map(str::to_owned).collect(),
        NodeKind::Alias => alias(&told),
        NodeKind::Table => told.text("gone").map(str::to_owned).into_iter().collect(),
        NodeKind::Spine => Vec::new(),
    });
    parts.join(", ")
}

/// How an edge is told where the two kinds do not say it.
fn reached(edge: &Edge) -> Option<String> {
    match edge.relation {
        Relation::Measured => Some("measured only".to_owned()),
        Relation::Shadows => Some("as a shadow".to_owned()),
        Relation::ReadFor => edge.last_sequence.map(|last| match last {
            -1 => "when it was empty".to_owned(),
            last => format!("up to _sequence {last}"),
        }),
        _ => edge.weight.map(|weight| format!("weight {weight}")),
    }
}

/// A dataset is told by its name too, where it has one, and a spine's query on one line.
fn name(told: &Attributes<'_>) -> String {
    let id = told.0.id.name.as_str();
    match (told.0.id.kind, told.text("name")) {
        (NodeKind::Dataset, Some(name)) => format!("{name} {}", short(id)),
        (NodeKind::Dataset, None) => short(id).to_owned(),
        _ => id.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn batch(told: &Attributes<'_>) -> Vec<String> {
    let mut parts = vec![format!("{} rows", thousands(told.number("rows")))];
    parts.push(format!("_sequence {} to {}", told.number("first_sequence"), told.number("last_sequence")));
    parts.extend(told.text("ingested_at").map(|at| format!("ingested {at}")));
    parts.extend(told.text("batch_id").map(|id| format!("id {}", if id.len() > 40 { short(id) } else { id })));
    parts
}

fn data_file(told: &Attributes<'_>) -> Vec<String> {
    let rows = told.0.attributes.get("rows").and_then(Value::as_i64);
    let mut parts: Vec<String> = rows.map(|rows| format!("{} rows", thousands(rows))).into_iter().collect();
    parts.push(format!("{} bytes", thousands(told.number("bytes"))));
    let is_denied = |name: &str| told.0.attributes.get(name) == Some(&Value::Bool(false));
    parts.extend(is_denied("is_current").then(|| "replaced".to_owned()));
    parts.extend(is_denied("is_origin_known").then(|| "nothing tells any more what its rows came from".to_owned()));
    parts
}

fn feature_view(told: &Attributes<'_>) -> Vec<String> {
    let delay = told.text("source_delay").filter(|delay| *delay != "0s");
    let delay = delay.map(|delay| format!("source delay {delay}"));
    delay.into_iter().chain(told.text("ttl").map(|ttl| format!("ttl {ttl}"))).collect()
}

fn dataset(told: &Attributes<'_>) -> Vec<String> {
    let mut parts = vec![format!("{} rows", thousands(told.number("rows")))];
    parts.extend(told.text("mode").map(|mode| format!("mode {}", mode.to_lowercase())));
    parts.extend(told.text("built_at").map(|at| format!("built {at}")));
    let proven = told.0.attributes.get("verdict").and_then(|verdict| verdict.get("is_proven"));
    parts.extend(proven.and_then(Value::as_bool).map(|proven| if proven { "proven" } else { "not proven" }.to_owned()));
    parts.extend(told.text("location").map(|file| format!("in {file}")));
    parts
}

fn model(told: &Attributes<'_>) -> Vec<String> {
    let served = told.texts("served_as");
    let mut parts = vec![match served.as_slice() {
        [] => "under no alias now".to_owned(),
        aliases => format!("served now as {}", aliases.join(" and ")),
    }];
    parts.extend(told.text("registered_at").map(|at| format!("registered {at}")));
    parts
}

fn alias(told: &Attributes<'_>) -> Vec<String> {
    let mut parts = vec![format!("at @{}", told.number("version"))];
    parts.extend(told.text("moved_at").map(|at| format!("since {at}")));
    let evidence = told.0.attributes.get("evidence");
    let gate = evidence.and_then(|evidence| evidence.get("gate")).and_then(Value::as_str);
    let passed = evidence.and_then(|evidence| evidence.get("is_passed")).and_then(Value::as_bool);
    parts.extend(
        gate.zip(passed).map(|(gate, passed)| format!("gate {gate} {}", if passed { "passed" } else { "refused it" })),
    );
    parts.extend(told.text("override_reason").map(|reason| format!("overridden: {reason}")));
    parts
}

/// A node's attributes, by name.
struct Attributes<'a>(&'a Node);

impl<'a> Attributes<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.attributes.get(name)?.as_str()
    }

    fn number(&self, name: &str) -> i64 {
        self.0.attributes.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    fn texts(&self, name: &str) -> Vec<&'a str> {
        let list = self.0.attributes.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn pairs(&self, name: &str) -> Vec<String> {
        let pairs = self.0.attributes.get(name).and_then(Value::as_object);
        let pairs = pairs.into_iter().flatten();
        pairs.map(|(key, value)| format!("{key}: {}", value.as_str().unwrap_or_default())).collect()
    }
}

/// As much of a hash as people read.
fn short(text: &str) -> &str {
    text.get(..12).unwrap_or(text)
}
