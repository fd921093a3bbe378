//! Remembers definitions, models and datasets.
