//! Arrow Flight, with pyarrow as its client.

mod training_set;
