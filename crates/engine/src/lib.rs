//! The verbs: apply, ingest, compact, vacuum, materialize, training set, lookup; transport-free.
//!
//! An [`Engine`] has one project's stores and a [`Clock`]; each verb is a method, in a file of its own. [`Serving`] holds
//! compiled plans for lookups, so that a request resolves nothing.

mod alias;
mod apply;
mod audit;
mod build;
mod clock;
mod compact;
mod dataset;
mod engine;
mod error;
mod evaluation;
mod explain;
mod fingerprint;
mod follow;
mod gate;
mod ingest;
mod join;
mod leakage;
mod lookup;
mod manifest;
mod materialize;
mod model;
mod online_rows;
mod profile;
mod push;
mod readings;
mod rebuild;
mod report;
mod sample;
mod serving;
mod spine;
mod split;
mod sql;
mod table_history;
mod training_set;
mod transform;
mod vacuum;
mod verify;
mod witness;

pub use alias::OnRefusal;
pub use apply::{Applied, DefinitionFile};
pub use audit::AuditReport;
pub use clock::Clock;
pub use compact::CompactedTable;
pub use engine::{Engine, find_set, find_view};
pub use error::{Error, Result};
pub use explain::{Explanation, Part, ViewExplanation};
pub use fingerprint::RowsFingerprint;
pub use ingest::{Destination, Ingested};
pub use leakage::{Example, Leakage, ViewLeakage};
pub use lookup::{Lookup, LookupColumn, LookupRequest, LookupView};
pub use materialize::Materialized;
pub use model::Registration;
pub use readings::{ServedReading, reading_of, served_readings};
pub use rebuild::{Rebuilt, SpineSources};
pub use report::{Absent, DelayReport, Distribution, FeatureReport, LeakageReport, ViewReport};
pub use serving::{Consumer, PlannedOutput, PlannedView, Serving, ServingPlan};
pub use spine::Spine;
pub use split::SPLIT_COLUMN;
pub use training_set::{EvidenceColumns, Existing, Progress, Provenance, TrainingSet, TrainingSetRequest};
pub use transform::Transforms;
pub use vacuum::VacuumedTable;
pub use verify::{AuditRequest, Certificate, TransformReport};
