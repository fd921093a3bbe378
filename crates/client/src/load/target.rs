//! Whom load is made on.

use std::time::Duration;

use hitherto_core::{KeyType, Selector, SetVersion};

use super::{Error, Keys, Result};
use crate::{Client, Timeouts};

/// Whom load is made on, over how many connections, and for which keys.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server's address.
    pub url: String,
    /// How many connections; at least one.
    pub connections: usize,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The keys.
    pub keys: Keys,
    /// Decides which keys and values come.
    pub seed: u64,
}

impl Target {
    /// Clients with a connection each.
    pub(super) async fn connect(&self) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(self.connections.max(1));
        for _ in 0..self.connections.max(1) {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// One client.
    pub(super) async fn client(&self) -> Result<Client> {
        let timeouts = Timeouts { request: self.timeout, ..Timeouts::default() };
        Ok(Client::connect_with(&self.url, timeouts).await?)
    }
}

/// The one column of entity keys that a feature set reads.
pub(super) async fn only_key(client: &Client, feature_set: &Selector) -> Result<String> {
    let set: SetVersion = client.feature_set(feature_set).await?;
    let no = |reason: &str| Err(Error::Unsupported { what: feature_set.to_string(), reason: reason.to_owned() });
    if !set.resolved.request.is_empty() {
        return no("it has request fields, and none are sent");
    }
    let mut keys = set.resolved.uses.iter().flat_map(|view| &view.keys);
    let Some(first) = keys.next() else { return no("it reads no view") };
    if first.key_type != KeyType::Int64 || keys.any(|key| key.spine_column != first.spine_column) {
        return no("its views must all be read by one and the same int64 key");
    }
    Ok(first.spine_column.clone())
}
