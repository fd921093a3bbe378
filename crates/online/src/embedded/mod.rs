//! The embedded store: an LMDB environment in a folder, shared by several processes at once.

mod address;
mod environment;
mod store;

pub use store::EmbeddedStore;

#[cfg(test)]
mod tests;
