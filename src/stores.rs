//! Concrete stores, wired: the only place that chooses them.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use hitherto_core::Timestamp;
use hitherto_engine::{Clock, Engine};
use hitherto_offline::OfflineStore;
use hitherto_online::OnlineStore;
use hitherto_registry::Registry;

use crate::config::Config;
use crate::events;

/// What a command does to the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Reads, or adds to a registry that is there; creates nothing.
    Existing,
    /// Writes the registry or history; the online store is opened if it exists.
    Write,
    /// Writes the online store too.
    WriteOnline,
}

/// Open the stores that `config` names.
pub(crate) async fn open(config: &Config, uses: Use, clock: Option<Timestamp>) -> Result<Engine> {
    let registry: Arc<dyn Registry> = match uses {
        Use::Existing => {
            hitherto_registry::open_existing_as(&config.registry_url, &config.project, &config.actor).await?
        }
        Use::Write | Use::WriteOnline => {
            hitherto_registry::open_as(&config.registry_url, &config.project, &config.actor).await?
        }
    };
    let offline = OfflineStore::open(&config.offline_url, cloud_options())?;
    let online: Option<Arc<dyn OnlineStore>> = match uses {
        Use::WriteOnline => Some(hitherto_online::open(&config.online_url, &config.project)?),
        Use::Existing | Use::Write => hitherto_online::open_existing(&config.online_url, &config.project)?,
    };
    let clock = clock.map_or(Clock::System, Clock::Frozen);
    let events = config.lineage_url.as_deref().map(events::open).transpose()?;
    Ok(Engine::new(config.project.clone(), registry, offline, online, clock)
        .with_memory_limit(config.memory_limit.0)?
        .with_events(events))
}

/// A listening address.
pub(crate) fn address(text: &str) -> Result<std::net::SocketAddr> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => bail!("'{text}' is not an address: write it like 127.0.0.1:7420"),
    }
}

/// Credentials and endpoints of object stores, by the names that their own tools use: `AWS_…`, `GOOGLE_…`, `AZURE_…`.
pub(crate) fn cloud_options() -> HashMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}
