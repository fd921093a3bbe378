//! Traces: which calls are in one, and what a call's span says. Spans are `tracing`'s, with the targets of
//! [`hitherto_online::spans`]; whoever starts the server has them sent somewhere.

mod call;
mod share;

pub(crate) use call::{begun, call, is_fault, note, note_view, trace_id};
pub use share::{SpanCounts, TracedShare, Traces};
