//! The smallest store that says something: legs of aircraft, and a feature set of all that is known of them.

/// An entity, a view of one feature, and a set of it.
pub(crate) const LEGS: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
features: {arr_delay: float32}
---
kind: feature_set
name: late
features: [legs:*]
";
