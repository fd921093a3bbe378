//! Load: requests in plenty, by a schedule or as fast as answers come, and what became of them.
//!
//! A **closed loop** has so many requests in flight and sends the next one when an answer is there: what it finds is
//! capacity. An **open loop** starts requests by a schedule, whatever became of those before, and takes each latency from
//! the moment at which the schedule wanted the request to start: a server that stalls is charged for all whom it kept
//! waiting, which a closed loop would never have asked (coordinated omission).
//!
//! What is sent is [`Work`]: [`Reads`] of a feature set, or [`Pushes`] of one row with a read until it is there. `hitherto-load`
//! is this as a command.

mod answer;
mod error;
mod keys;
mod processor;
mod pushes;
mod reads;
mod report;
mod run;
mod schedule;
mod target;
mod wire;
mod work;

pub use error::{Error, Result};
pub use keys::{Keys, Popularity, Random};
pub use processor::Watched;
pub use pushes::Pushes;
pub use reads::Reads;
pub use report::{Latencies, Quantiles, Report, WarmUp};
pub use run::{Pace, Plan, run};
pub use schedule::{Arrivals, Schedule};
pub use target::Target;
pub use work::{Failed, Taken, Work};
