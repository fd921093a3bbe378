//! As-of joins for DataFusion: slot-max over a spine index. Columns and time, no features.
