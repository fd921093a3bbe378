//! The verbs: apply, ingest, materialize, training set, lookup; transport-free.
