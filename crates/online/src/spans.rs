//! Targets of spans: what of them a trace has is decided by whoever takes spans, by target alone. Each is of the level `TRACE`,
//! so that no log has them unless it asks for everything; none has a key, a value or the text of a query.

/// Of what was chosen to be traced when it began: a call, a command.
pub const CHOSEN: &str = "hitherto::span::chosen";
/// Of what the server does by itself: a share of these begins a trace, unless it is a step within one.
pub const RUN: &str = "hitherto::span::run";
/// Of a step: it is in a trace where what it is a step of is in one.
pub const STEP: &str = "hitherto::span::step";
