//! History: append, pin a snapshot, scan, build training sets.
