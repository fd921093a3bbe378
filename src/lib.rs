//! The command line: flags, configuration and concrete stores meet here, and nothing else happens here.

mod allocator;
mod args;
mod cmd;
mod config;
mod environment;
mod events;
mod locations;
mod open_files;
mod output;
mod run;
mod security;
mod size;
mod stores;
mod telemetry;

pub use config::Config;
pub use environment::ENVIRONMENT;
pub use run::run;
pub use security::ClientFiles;
pub use telemetry::Telemetry;
