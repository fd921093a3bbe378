//! Latest values per entity key: an embedded store and Redis.
//!
//! A store holds, per [`Reading`] of a table and entity key, one row: the greatest by event time, created time and
//! sequence among the rows that reached it. Writes compare and set, so the order of arrival does not matter and
//! repeating a write does nothing. Beside the rows lie the [`Marks`]: how much of the table's history has reached them.
//!
//! ```
//! use hitherto_core::{Span, Timestamp, Value, ValueType};
//! use hitherto_online::{EmbeddedStore, Group, OnlineRow, OnlineStore, Reading, RowVersion, Write, encoding};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let store = EmbeddedStore::open(folder.path(), &"default".parse()?)?;
//! let weather = Reading::new("weather-1", Span::ZERO);
//! let version = |event| RowVersion { event: Timestamp(event), created: None, sequence: event };
//! let row = |event, gust| -> Result<OnlineRow, encoding::EncodingError> {
//!     let values = encoding::encode(&[ValueType::Float64], &[Value::Float64(gust)])?;
//!     Ok(OnlineRow { version: version(event), deleted: false, values })
//! };
//! let key = b"JFK".to_vec();
//! let run = store.begin(&weather).await?;
//! store.write(&weather, &run, &[Write { key: key.clone(), row: row(20, 31.0)? }]).await?;
//! store.write(&weather, &run, &[Write { key: key.clone(), row: row(10, 12.0)? }]).await?; // an older event comes late
//!
//! let answers = store.read(&[Group { reading: &weather, keys: &[key, b"LGA".to_vec()] }]).await?;
//! assert_eq!(answers[0].rows, [Some(row(20, 31.0)?), None]);
//! # Ok(()) }
//! ```

mod batch;
pub mod conformance;
mod embedded;
pub mod encoding;
mod error;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod generation;
mod location;
mod open;
mod record;
mod redis;
pub mod spans;
mod store;

pub use embedded::EmbeddedStore;
pub use error::{Error, Result};
pub use generation::{Generation, GenerationStore, Generations, NextGeneration, OldGeneration, Switch};
pub use location::{Identity, Location, Tls};
pub use open::{open, open_existing};
pub use redis::RedisStore;
pub use store::{Advance, Answer, Group, Marks, OnlineRow, OnlineStore, Reading, RowVersion, Run, Write, Written};
