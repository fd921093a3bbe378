//! The command line: flags, configuration and concrete stores meet here, and nothing else happens here.

mod allocator;
mod args;
mod cmd;
mod config;
mod events;
mod locations;
mod open_files;
mod output;
mod run;
mod security;
mod size;
mod stores;
mod telemetry;

pub use config::{Config, ENVIRONMENT};
pub use run::run;
pub use security::ClientFiles;
pub use telemetry::Telemetry;
