//! Arrow Flight as its users' own clients speak it: ADBC and pyarrow.

mod analyst;
mod sql;
mod training_set;
