//! Stores of readings of things: an entity, a view, and a feature set of all that is known of it.

/// Each reading is a number.
pub(crate) const READINGS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
features: {v: int64}
---
kind: feature_set
name: latest
features: ['readings:*']
";

/// Each reading is a number and a text.
pub(crate) const NOTED_READINGS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
features: {v: int64, note: string}
---
kind: feature_set
name: latest
features: ['readings:*']
";
