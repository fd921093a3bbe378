//! Redis: one key per row, one per reading's marks (in a cluster one per bucket), comparisons by script within the server.
//!
//! ```text
//! address   what a url says                     dial      one connection, and what its server must be like
//! keys      which key, which bucket             node      a place, and its connection that is made again
//! read      a read taken apart by bucket        cluster   which node has which slots
//! believed  which generation is asked for       servers   commands to the nodes that have their keys (group)
//! script    the scripts, the entry of marks     generations, changes   how they come and go, bucket by bucket
//! ```

mod address;
mod believed;
mod changes;
mod cluster;
mod dial;
mod failure;
mod generations;
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
