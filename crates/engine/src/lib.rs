//! The verbs: apply, ingest, compact, vacuum, materialize, training set, lookup; transport-free.
//!
//! An [`Engine`] has one project's stores and a [`Clock`]; each verb is a method, in a file of its own. [`Serving`] holds
//! compiled plans for lookups, so that a request resolves nothing.
//!
//! # In process
//!
//! A service in Rust can look features up without a server in between. It opens the stores that `serve` opens, keeps one
//! [`Serving`], and calls [`Serving::refresh`] every second or so, to learn of new versions and of aliases that have moved;
//! a request keeps the route that it began with. Rows come online as ever, by `materialize`, by a `serve` somewhere, or by
//! [`Engine::follow`] in the same process.
//!
//! ```
//! use hitherto_core::{KeyValue, Name, Status, Value};
//! use hitherto_engine::{Clock, Consumer, Engine, LookupRequest, Serving};
//! use hitherto_offline::OfflineStore;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::sync::Arc;
//! # use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
//! # let folder = tempfile::tempdir()?;
//! # let place = folder.path().display();
//! let project: Name = "default".parse()?;
//! let registry = hitherto_registry::open(&format!("sqlite://{place}/registry.db"), &project).await?;
//! let offline = OfflineStore::open(&format!("file://{place}/offline"), [("", ""); 0])?;
//! let online = hitherto_online::open(&format!("embedded://{place}/online"), &project)?; // or redis://host:6379
//! let engine = Engine::new(project, registry, offline, Some(online), Clock::System);
//! # let view = "kind: entity\nname: airport\njoin_keys: {airport: string}\n---\nkind: feature_view\nname: weather\n\
//! #     entity: airport\nfeatures: {wind_gust: float64}\n---\nkind: feature_set\nname: outlook\nfeatures: ['weather:*']\n";
//! # engine.apply(&[("d.yaml".to_owned(), view.to_owned())], hitherto_core::NewTables::Refuse).await?;
//! # let airport: ArrayRef = Arc::new(StringArray::from(vec!["JFK"]));
//! # let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_000_000]).with_timezone("UTC"));
//! # let gust: ArrayRef = Arc::new(Float64Array::from(vec![31.0]));
//! # let rows = RecordBatch::try_from_iter([("airport", airport), ("event_timestamp", time), ("wind_gust", gust)])?;
//! # engine.push(&"weather".parse()?, &rows, None, hitherto_engine::Destination::Both).await?;
//!
//! let serving = Serving::load(engine).await?;
//! let route = serving.route(&Consumer::FeatureSet("outlook".parse()?)).await?; // or a model: its alias, its version
//! let airports = ["JFK", "XXX"].map(|code| Some(KeyValue::String(code.to_owned())));
//! let wanted = LookupRequest { entities: vec![("airport".to_owned(), airports.to_vec())], request: Vec::new() };
//! let plan = route.choose(None, |_, _| airports[0].clone()); // one of its versions, where an alias shares its traffic
//! let found = serving.lookup(plan, &wanted).await?;
//! assert_eq!(found.columns[0].name, "weather__wind_gust");
//! assert_eq!(found.columns[0].values, [Value::Float64(31.0), Value::Null]);
//! assert_eq!(found.columns[0].statuses, [Status::Present, Status::NotFound]);
//! # Ok(()) }
//! ```

mod alias;
mod apply;
mod asked;
mod audit;
mod both_ways;
mod build;
mod check_history;
mod client_files;
mod clock;
mod compact;
mod dataset;
mod definitions;
mod edges;
mod engine;
mod erase;
mod error;
mod evaluation;
mod explain;
mod fingerprint;
mod follow;
mod gate;
mod gather;
mod generations;
mod holding;
mod ingest;
mod join;
mod joined_reads;
mod leakage;
mod lineage;
mod lookup;
mod loose;
mod manifest;
mod materialize;
mod merged_reads;
mod model;
mod naming;
mod online_rows;
mod openlineage;
mod overtaken;
mod packed_lookup;
mod profile;
mod push;
mod query;
mod readings;
mod rebuild;
mod rebuild_online;
mod recording;
mod records;
mod report;
mod route;
mod sample;
mod serving;
mod spine;
mod spine_limits;
mod split;
mod sql;
mod table_history;
mod token;
mod training_set;
mod transform;
mod upkeep;
mod vacuum;
mod verify;
mod witness;

pub use alias::OnRefusal;
pub use apply::{Applied, DefinitionFile};
pub use asked::Asked;
pub use audit::AuditReport;
pub use check_history::CheckedTable;
pub use clock::Clock;
pub use compact::CompactedTable;
pub use engine::{Engine, find_set, find_view};
pub use erase::{Act, ErasedEntity, ErasedReading, ErasedTable, ErasureRequest, OtherView};
pub use error::{Error, Result};
pub use explain::{Explanation, Part, ViewExplanation};
pub use fingerprint::RowsFingerprint;
pub use generations::{DROPPED_KEYS_PER_S, DroppedGeneration};
pub use holding::{Holding, Holds, Suspect};
pub use ingest::{Destination, Ingested};
pub use joined_reads::ReadCounts;
pub use leakage::{Example, Leakage, ViewLeakage};
pub use lineage::{Direction, Edge, Lineage, Node, NodeId, NodeKind, Relation};
pub use lookup::{Lookup, LookupColumn, LookupRequest, LookupView, Prepared};
pub use loose::{LooseFile, Whereabouts};
pub use materialize::{Brought, Materialized};
pub use model::Registration;
pub use openlineage::{EventSink, RunEvent};
pub use packed_lookup::{JudgedRow, PackedLookup, PackedView};
pub use push::{PlacedPush, PreparedPush, PushProgress, PushStage};
pub use query::{Parameter, PlannedQuery, SqlCatalog, SqlColumns, SqlTable};
pub use readings::{ServedReading, reading_of, served_readings};
pub use rebuild::{Rebuilt, SpineSources};
pub use report::{Absent, DelayReport, Distribution, FeatureReport, LeakageReport, ViewReport};
pub use route::{Route, Shadow};
pub use serving::{Consumer, PlannedOutput, PlannedView, Serving, ServingPlan};
pub use spine::Spine;
pub use spine_limits::SpineLimits;
pub use split::SPLIT_COLUMN;
pub use token::IssuedToken;
pub use training_set::{EvidenceColumns, Existing, Progress, Provenance, TrainingSet, TrainingSetRequest};
pub use transform::Transforms;
pub use upkeep::{KeptUp, Retention};
pub use vacuum::VacuumedTable;
pub use verify::{AuditRequest, Certificate, TransformReport};
