//! Where OpenLineage events go: to a file, a line an event, or to an HTTP endpoint, a request an event.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use async_trait::async_trait;
use hitherto_engine::{EventSink, RunEvent};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;
use url::Url;

use crate::run::interrupted;

/// Where services that take events do so, unless a URL says otherwise.
const ENDPOINT: &str = "/api/v1/lineage";
/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Bytes of a refusal that are told.
const TOLD_BYTES: usize = 200;

/// Whether runs that have ended are being told, or were when the process was interrupted.
static IS_TELLING: AtomicBool = AtomicBool::new(false);

type Delivered = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What takes the events of `url`, as the configuration has it: a path, `file:///…`, `http://…` or `https://…`. Nothing is opened
/// before there is an event.
pub(crate) fn open(url: &str) -> Result<Arc<dyn EventSink>> {
    let Some((scheme, _)) = url.split_once("://") else {
        return Ok(Arc::new(Interruptible(File(PathBuf::from(url)))));
    };
    let parsed = Url::parse(url);
    match (scheme, parsed) {
        ("file", Ok(url)) => match url.to_file_path() {
            Ok(path) => Ok(Arc::new(Interruptible(File(path)))),
            Err(()) => bail!("lineage.url: '{url}' names no file of this machine"),
        },
        ("http" | "https", Ok(mut url)) => {
            if url.path() == "/" {
                url.set_path(ENDPOINT);
            }
            Ok(Arc::new(Interruptible(Endpoint { url, client: OnceCell::new() })))
        }
        // what it holds may be a secret
        (_, Err(error)) => bail!("lineage.url is no URL: {error}"),
        _ => bail!("lineage.url: '{scheme}://' takes no events; use a path, file:///…, http://… or https://…"),
    }
}

/// Whether an interruption that has just come ends no more than the telling of runs: they have ended, and what they did is
/// still to be reported. To be asked once for each interruption.
pub(crate) fn take_interruption() -> bool {
    IS_TELLING.swap(false, Ordering::Relaxed)
}

/// A sink that is left when the process is interrupted.
#[derive(Debug)]
struct Interruptible<S>(S);

#[async_trait]
impl<S: EventSink> EventSink for Interruptible<S> {
    async fn deliver(&self, events: &[RunEvent]) -> Delivered {
        let telling = Telling::begin();
        tokio::select! {
            // it has to listen before anything is sent
            biased;
            () = interrupted() => {
                // whoever else hears of it may do so later, and asks then
                std::mem::forget(telling);
                Err("the process was interrupted".into())
            }
            done = self.0.deliver(events) => done,
        }
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

/// Says that runs are being told, for as long as it lives.
struct Telling;

impl Telling {
    fn begin() -> Self {
        IS_TELLING.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        IS_TELLING.store(false, Ordering::Relaxed);
    }
}

/// A file that grows; made with its folder at the first event.
#[derive(Debug)]
struct File(PathBuf);

#[async_trait]
impl EventSink for File {
    async fn deliver(&self, events: &[RunEvent]) -> Delivered {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        if let Some(folder) = self.0.parent().filter(|folder| *folder != Path::new("")) {
            tokio::fs::create_dir_all(folder).await?;
        }
        // to open a pipe would wait for who reads it, and for no longer than the process is there
        if tokio::fs::metadata(&self.0).await.is_ok_and(|found| !found.is_file()) {
            return Err("it is no regular file".into());
        }
        let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&self.0).await?;
        // in one write, so that the lines of several processes do not mix
        file.write_all(&lines).await?;
        Ok(file.flush().await?)
    }

    fn describe(&self) -> String {
        self.0.display().to_string()
    }
}

/// A service that takes events by POST, one a request. User and password of the URL become the request's.
#[derive(Debug)]
struct Endpoint {
    url: Url,
    /// Made with the first event, because to read the machine's certificates takes longer than many a command.
    client: OnceCell<reqwest::Client>,
}

#[async_trait]
impl EventSink for Endpoint {
    async fn deliver(&self, events: &[RunEvent]) -> Delivered {
        // a redirect may lead anywhere, or turn a POST into a GET, which would be answered and take nothing
        let build = || async {
            reqwest::Client::builder().timeout(REQUEST_MAX).redirect(reqwest::redirect::Policy::none()).build()
        };
        let client = self.client.get_or_try_init(build).await?;
        for event in events {
            let request = client.post(self.url.clone()).header("content-type", "application/json");
            let sent = request.body(serde_json::to_vec(event)?).send().await;
            let answer = sent.map_err(|error| causes(&error.without_url()))?;
            if !answer.status().is_success() {
                return Err(refusal(answer).await.into());
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}{}", self.url.scheme(), self.url.host_str().unwrap_or_default(), self.url.path())
    }
}

/// What an answer says that is no success, as far as it is told.
async fn refusal(mut answer: reqwest::Response) -> String {
    let status = answer.status();
    if status.is_redirection() {
        return format!(
            "it answered {status}, and redirects are not followed: name the place that takes events itself"
        );
    }
    let mut said = Vec::new();
    // however long it is, no more is read
    while said.len() < TOLD_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        said.extend_from_slice(&chunk);
    }
    said.truncate(TOLD_BYTES);
    format!("it answered {status} {}", String::from_utf8_lossy(&said).trim()).trim_end().to_owned()
}

/// Every cause once: the first alone says only that a request could not be sent.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_not_told() {
        let told = |url: &str| open(url).expect("a sink").describe();
        assert_eq!(told("https://me:secret@host:5000/take?key=secret"), "https://host:5000/take");
        assert_eq!(told("http://host"), "http://host/api/v1/lineage");
        assert_eq!(told("file:///var/log/events.ndjson"), "/var/log/events.ndjson");
        assert_eq!(told("events.ndjson"), "events.ndjson");
        let refused = open("kafka://me:secret@host/topic").expect_err("no such sink").to_string();
        assert_eq!(refused, "lineage.url: 'kafka://' takes no events; use a path, file:///…, http://… or https://…");
    }
}
