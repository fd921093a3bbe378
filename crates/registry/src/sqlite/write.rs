//! Changes, by what they change.

mod datasets;
mod definitions;
mod models;
mod results;
mod tokens;
mod traffic;

pub(super) use datasets::{dataset_of, forget_dataset, record_copy, record_dataset};
pub(super) use definitions::apply;
pub(super) use models::{move_alias, register_model};
pub(super) use results::{record_erasure, record_evaluation, record_verdict};
pub(super) use tokens::{create_token, revoke_token};
pub(super) use traffic::set_traffic;
