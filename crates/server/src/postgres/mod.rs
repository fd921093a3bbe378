//! The wire of PostgreSQL: what psql, JDBC, ODBC and the drivers of most languages speak. Off unless configured.
//!
//! A query takes the very path of Flight SQL: our planner, its snapshot, the limits and turns of [`crate::queries`]. What is ours
//! here is the conversation: who it is ([`startup`], by SCRAM), what a client may set ([`settings`]), how values are written
//! ([`rows`], [`written`]) and read ([`values`]), and what catalog browsers ask ([`catalog`]), which is answered from tables of
//! our own and never by way of a query of a feature view.

mod base64;
mod binding;
mod cancel;
mod catalog;
mod columns;
mod copy;
mod deed;
mod extended;
mod failure;
mod listener;
mod lists;
mod pass;
mod patterns;
mod rows;
mod savepoints;
mod scram;
mod session;
mod settings;
mod startup;
mod times;
mod values;
mod watch;
mod who;
mod wire;
mod words;
mod written;

pub(crate) use self::listener::serve;

/// The name of the one database.
const DATABASE: &str = hitherto_engine::SqlCatalog::NAME;
