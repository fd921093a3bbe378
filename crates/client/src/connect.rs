//! Finding the server.

use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::error::first_cause;
use crate::{Credentials, Error, Result};

/// A connection to a server. Clones share it; it is made again by itself when it breaks.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) channel: Channel,
    pub(crate) url: Arc<str>,
    pub(crate) timeouts: Timeouts,
    /// Shows the token with every call.
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection. 2 s unless set.
    pub connect: Duration,
    /// For an answer. 30 s unless set.
    pub request: Duration,
    /// For a training set to be built. 1 h unless set.
    pub training_set: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            request: Duration::from_secs(30),
            training_set: Duration::from_hours(1),
        }
    }
}

impl Client {
    /// Connects to the server at `url`: `https://HOST:PORT`, `http://HOST:PORT`, or `HOST:PORT`, which is the latter.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, Timeouts::default()).await
    }

    /// Connects with other timeouts.
    pub async fn connect_with(url: &str, timeouts: Timeouts) -> Result<Self> {
        Self::connect_as(url, timeouts, &Credentials::default()).await
    }

    /// Connects with a token, with roots that vouch for the server, with a certificate to show.
    pub async fn connect_as(url: &str, timeouts: Timeouts, credentials: &Credentials) -> Result<Self> {
        let url = complete(url)?;
        let authorization = credentials.authorization(&url)?;
        let wrong = |reason: String| Error::Url { url: url.clone(), reason };
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|source| wrong(first_cause(&source)))?
            .connect_timeout(timeouts.connect)
            .user_agent(concat!("hitherto/", env!("CARGO_PKG_VERSION")))
            .map_err(|source| wrong(first_cause(&source)))?;
        match credentials.apply(endpoint, &url)?.connect().await {
            Ok(channel) => Ok(Self { channel, url: url.into(), timeouts, authorization }),
            Err(source) => Err(Error::Connect { reason: first_cause(&source), url, source }),
        }
    }

    /// The address of the server.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The address with its scheme.
fn complete(url: &str) -> Result<String> {
    let wrong = |reason: &str| Err(Error::Url { url: url.to_owned(), reason: reason.to_owned() });
    match url.split_once("://") {
        None if url.is_empty() => wrong("it is empty"),
        None => Ok(format!("http://{url}")),
        Some(("http" | "https", host)) if !host.is_empty() => Ok(url.to_owned()),
        Some(("http" | "https", _)) => wrong("it names no host"),
        Some(_) => wrong("its scheme is neither http nor https"),
    }
}
