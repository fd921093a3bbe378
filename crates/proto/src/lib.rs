//! The wire: the generated code of package `hitherto.v1`, and every conversion between it and the types of
//! [`hitherto_core`].
//!
//! The messages of [`v1`] are what travels. Beside them stand the types that programs use ([`GetFeatures`],
//! [`Features`], [`Push`], …), with `TryFrom` and `From` both ways, so that server and client read every field by the
//! same rule. [`Failure`] is what an error looks like on the wire, and [`code`] and [`kind`] are the one table between
//! kinds of errors and gRPC's codes.
//!
//! ```
//! use hitherto_core::{Value, ValueType};
//! use hitherto_proto::{Column, v1};
//!
//! let column = Column::new("tailnum", ValueType::String, vec![Value::String("N14228".into()), Value::Null]);
//! let sent = v1::Column::try_from(column.clone())?;
//! assert_eq!(sent.validity, [true, false]);
//! assert_eq!(Column::try_from(sent)?, column);
//! # Ok::<(), hitherto_proto::Error>(())
//! ```

mod answer_codec;
mod answer_writer;
mod column;
mod entity;
mod error;
mod failure;
mod feature_set;
mod feature_view;
mod features;
mod field;
mod get_features;
mod ingest;
mod kind;
mod model;
mod pack;
mod packed;
mod plan;
mod status;
#[cfg(test)]
mod tests;
mod training_set;
pub mod v1;

pub use answer_codec::AnswerCodec;
pub use answer_writer::{AnswerEnd, AnswerWriter};
pub use column::{Column, row_count};
pub use error::Error;
pub use failure::{Failure, Violation};
pub use features::{FeatureColumn, Features, ModelPin, ViewAnswer, Watermark};
pub use get_features::{AnswerFormat, Consumer, EventTimes, GetFeatures};
pub use ingest::{Destination, Push, Pushed};
pub use kind::{code, kind, reason};
pub use model::{ExpectedAlias, MoveAlias, RegisterModel};
pub use packed::packed;
pub use plan::{Definitions, Planned};
pub use training_set::{NewTrainingSet, Spine};
pub use v1::{FILE_DESCRIPTOR_SET, MESSAGE_BYTES_MAX};
