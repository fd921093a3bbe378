//! The join against a quadratic oracle, and its planning contract.

mod agreement;
mod history;
mod merge;
mod oracle;
mod plan;
mod run;
