//! The Rust client of the service: what `--server` uses, and whoever serves a model from Rust.
//!
//! Types of [`hitherto_core`] and [`hitherto_proto`] go in and come out; the messages of the wire stay inside.
//!
//! ```no_run
//! # async fn run() -> hitherto_client::Result<()> {
//! use hitherto_client::{Client, Column, Consumer, GetFeatures};
//! use hitherto_core::{Selector, Value, ValueType};
//!
//! let client = Client::connect("http://127.0.0.1:7420").await?;
//! let model: Selector = "late@champion".parse().expect("a selector");
//! let aircraft = Column::new("tailnum", ValueType::String, vec![Value::String("N14228".into())]);
//! let features = client.get_features(GetFeatures::new(Consumer::Model(model), vec![aircraft])).await?;
//! for column in &features.columns {
//!     assert_eq!(column.values.len(), column.statuses.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A server beyond loopback wants TLS and a token: `https://`, and [`Client::connect_as`] with [`Credentials`].

mod call;
mod connect;
mod credentials;
mod error;
mod ingest;
#[cfg(feature = "load")]
pub mod load;
mod models;
mod online_features;
mod registry;
#[cfg(test)]
mod tests;
mod training_sets;

pub use connect::{Client, Timeouts};
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use hitherto_proto::{
    AnswerFormat, Column, Consumer, Definitions, Destination, EventTimes, ExpectedAlias, Failure, FeatureColumn,
    Features, GetFeatures, ModelPin, MoveAlias, NewTrainingSet, Planned, Push, Pushed, RegisterModel, Spine,
    ViewAnswer, Violation, Watermark,
};
pub use ingest::{PushAnswers, Pushes};
