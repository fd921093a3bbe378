//! Remembers definitions, models and datasets.
//!
//! A [`Registry`] is one project's memory: the [`Catalog`](hitherto_core::Catalog) of applied definitions, model
//! versions with their aliases, and training sets. One revision number rises by one with every change, so a reader
//! learns cheaply whether anything happened. [`open`] makes a registry from its URL; [`open_existing_as`] never creates a
//! store, and a missing one reads as an empty catalog.
//!
//! What is applied or registered never changes afterwards, notes and a table's growing list of columns excepted; the
//! registry itself refuses such a change, whoever asks. No row is ever deleted, and the audit log tells every change.
//!
//! Every backend runs [`conformance::run`].

mod absent;
pub mod conformance;
mod error;
mod immutable;
mod open;
mod record;
mod registry;
mod remedy;
mod sql;
mod sqlite;

pub use absent::AbsentRegistry;
pub use error::{Error, Result};
pub use open::{open, open_as, open_existing_as};
pub use registry::{AliasMove, Expected, Grounds, Recorded, Registry};
pub use sqlite::SqliteRegistry;
