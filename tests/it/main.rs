//! The one integration binary: each property is a module, named after what it holds.

mod agreement;
mod audit;
mod certificate;
mod cli_errors;
mod compaction;
mod concurrency;
mod configuration;
mod conformance;
mod crash;
mod definitions;
mod demo;
mod interop;
mod layering;
mod leakage;
mod licences;
mod limits;
mod lineage;
mod manifest;
mod memory_limit;
mod models;
mod properties;
mod readme;
mod redis_down;
mod support;
mod tidy;
mod traffic;
