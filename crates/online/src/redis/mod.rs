//! Redis: one key per row, one per reading's marks (in a cluster one per bucket), comparisons by script within the server.
//!
//! ```text
//! address   what a url says                     dial      one connection, and what its server must be like
//! keys      which key, which bucket             node      a place, and its connection that is made again
//! read      a read taken apart by bucket        cluster   which node has which slots
//! script    the scripts, the entry of marks     servers   commands to the nodes that have their keys (group)
//! ```

mod address;
mod cluster;
mod dial;
mod failure;
mod group;
mod keys;
mod node;
mod read;
mod script;
mod servers;
mod store;

pub use store::RedisStore;

#[cfg(test)]
mod tests;
