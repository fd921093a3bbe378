//! The embedded store: an LMDB environment in a folder, shared by several processes at once.

mod address;
mod entry;
mod environment;
mod failure;
mod generations;
mod store;
mod witness;

pub use store::EmbeddedStore;

#[cfg(test)]
mod tests;
