//! What a feature is: names, definitions, versions, values, time, and the point-in-time rule.
//!
//! This crate does no IO and never reads the clock: time comes in as a [`Timestamp`]. Everything that the other
//! rooms of Hitherto must agree on is said here once.
//!
//! ```
//! use hitherto_core::{Row, Reading, Mode, Span, Timestamp, winner};
//!
//! // a leg that departs at 0 s and whose delay is known when it lands, at 8 s
//! let rows = [Row { event: Timestamp(0), created: Some(Timestamp(8_000_000)), sequence: 0, deleted: false }];
//! let reading = Reading { source_delay: Span::ZERO, ttl: None };
//! assert_eq!(winner(&rows, reading, Timestamp(7_999_999), Mode::Knowledge), None);
//! assert_eq!(winner(&rows, reading, Timestamp(8_000_000), Mode::Knowledge), Some(0));
//! // the join that most stores do reads the delay while the aircraft is in the air
//! assert_eq!(winner(&rows, reading, Timestamp(7_999_999), Mode::Event), Some(0));
//! ```

mod alias;
mod audit;
mod catalog;
mod cells;
mod dataset;
mod definition;
mod erasure;
mod evaluation;
mod finite;
mod gate;
mod hash;
mod kind;
mod model;
mod name;
mod parse;
mod plan;
mod problem;
mod rule;
mod scram;
mod time;
mod token;
mod value;
mod verdict;

pub use alias::{Alias, Share, Traffic};
pub use audit::{AuditEntry, AuditFault, AuditHead, verify_against, verify_chain};
pub use catalog::{
    Catalog, Created, EntityVersion, Output, Record, ResolvedSet, SetVersion, SpineKey, Table, ViewKey, ViewUse,
    ViewVersion,
};
pub use cells::Cells;
pub use dataset::{Build, Category, Dataset, DatasetView, Number, Profile, Quantile, Split};
pub use definition::{Definition, Entity, Feature, FeatureSet, FeatureView, Member, Notes, Transform};
pub use erasure::Erasure;
pub use evaluation::{Evaluation, Grader, GraderError, Metrics, NewEvaluation, ReportFile};
pub use finite::{Finite, NotFinite};
pub use gate::{
    Against, Condition, DatasetCondition, DatasetState, Gate, GateFacts, GateReport, GateVersion, Holder,
    MetricCondition, OnlineCondition, ViewState,
};
pub use hash::{digest, feature_set_hash};
pub use kind::Kind;
pub use model::{Artifact, ModelKind, ModelVersion, NewModelVersion, Prompt, Provenance};
pub use name::{Name, NameError, RESERVED_COLUMNS, Selector, SelectorError, VersionedName, did_you_mean};
pub use parse::parse_definitions;
pub use plan::{Action, Change, NewTables, Plan, plan, resolve_set};
pub use problem::{Located, Marks, Position, Problem};
pub use rule::{Mode, Outcome, Reading, Row, Status, answer, order, winner};
pub use scram::ScramVerifier;
pub use time::{Span, TimeError, Timestamp};
pub use token::{ApiToken, Bearer, NewApiToken, Role, TokenError, TokenId};
pub use value::{EntityKey, KeyType, KeyValue, TypeError, Value, ValueType};
pub use verdict::StoredVerdict;
