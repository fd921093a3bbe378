//! Redis: one key per row, one per reading's marks, comparisons by script within the server.

mod failure;
mod keys;
mod script;
mod store;

pub use store::RedisStore;

#[cfg(test)]
mod tests;
