//! Files that a request names: opened only under `server.allowed_urls`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use hitherto_offline::input::{Format, Input, Location, Options};
use hitherto_offline::{Judge, OfflineStore, OutputLocation};

use crate::answer::Refusal;
use crate::place::{Place, Remote};
use crate::{Error, Result};

/// Where requests may have files read and written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    allowed: Vec<Place>,
    store_options: HashMap<String, String>,
}

impl Places {
    /// Places under these folders and URLs alone.
    pub(crate) fn new(allowed_urls: &[String]) -> Result<Self> {
        let place = |url: &String| {
            Place::parse(url).map_err(|reason| Error::AllowedUrl {
                url: url.clone(),
                reason: format!("{reason}; write it like /folder, file:///folder or s3://bucket/prefix"),
            })
        };
        let allowed = allowed_urls.iter().map(place).collect::<Result<_>>()?;
        Ok(Self { allowed, store_options: HashMap::new() })
    }

    /// Refuses a place in which a request could read or write history or the registry.
    pub(crate) async fn check_apart(&self, own: &OfflineStore, registry: Option<&Path>) -> Result<()> {
        let history = Place::parse(own.url().as_str()).ok();
        for place in &self.allowed {
            let reaches_history = match (place, &history) {
                (Place::Remote(allowed), Some(Place::Remote(own))) => allowed.is_inside(own) || own.is_inside(allowed),
                (Place::Local(allowed), Some(Place::Local(own))) => {
                    leads_into(own, allowed).await || leads_into(allowed, own).await
                }
                _ => false,
            };
            let reaches_registry = match (place, registry) {
                (Place::Local(allowed), Some(file)) => leads_into(file, allowed).await,
                _ => false,
            };
            let what = match (reaches_history, reaches_registry) {
                (true, _) => "history (`offline.url`)",
                (false, true) => "the registry",
                (false, false) => continue,
            };
            return Err(Error::AllowedUrl {
                url: place.to_string(),
                reason: format!("{what} is reached by it, and requests must not; name a folder beside it"),
            });
        }
        Ok(())
    }

    /// Opens object stores with these credentials and endpoints.
    pub(crate) fn set_store_options(&mut self, store_options: HashMap<String, String>) {
        self.store_options = store_options;
    }

    /// Opens the file at `url` for reading. `own` is the history's store, whose credentials serve for its own bucket.
    pub(crate) async fn input(&self, field: &str, url: &str, own: &OfflineStore) -> Result<Input, Refusal> {
        let location = match self.admit(field, url).await? {
            Place::Local(path) => Location::Local(plain(&path).ok_or_else(|| refused(field, url, PATTERN))?),
            Place::Remote(remote) => {
                let store = self.store(&remote, own)?;
                Location::Object { url: url.to_owned(), store: Arc::clone(store.store()), path: store.base().clone() }
            }
        };
        let input = Input::open([location], &Options::default()).await;
        Ok(input.map_err(hitherto_offline::Error::from)?)
    }

    /// The place at `url`, to be written.
    pub(crate) async fn output(&self, field: &str, url: &str, own: &OfflineStore) -> Result<OutputLocation, Refusal> {
        match self.admit(field, url).await? {
            // what is written is read again, by readers that take patterns
            Place::Local(path) if plain(&path).is_none() => Err(refused(field, url, PATTERN)),
            Place::Local(path) => Ok(OutputLocation::file(&path)?.judged_by(self.judge(url, path))),
            Place::Remote(remote) => {
                let store = self.store(&remote, own)?;
                Ok(OutputLocation::object(Arc::clone(store.store()), store.base().clone(), url))
            }
        }
    }

    /// Says of a path that was allowed whether it still is: no part of it may have become a link meanwhile.
    fn judge(&self, url: &str, path: PathBuf) -> Judge {
        let (places, url) = (self.clone(), url.to_owned());
        Arc::new(move || {
            let (places, url, path) = (places.clone(), url.clone(), path.clone());
            let judged = async move {
                if places.allowed_path(&path).await.as_ref() == Some(&path) {
                    return Ok(());
                }
                Err(hitherto_offline::Error::Invalid(format!(
                    "could not write '{url}': a link on the way to it leads elsewhere than when it was asked for; ask again, for \
                     a folder that nobody changes meanwhile"
                )))
            };
            judged.boxed()
        })
    }

    /// Opens a training set's file. Where it lies is what the registry says, never a request.
    pub(crate) async fn dataset(&self, location: &str, own: &OfflineStore) -> Result<Input, Refusal> {
        let place = match Place::parse(location) {
            Ok(Place::Local(_)) => Location::Local(location.to_owned()),
            Ok(Place::Remote(remote)) => {
                let store = self.store(&remote, own)?;
                let (store, path) = (Arc::clone(store.store()), store.base().clone());
                Location::Object { url: location.to_owned(), store, path }
            }
            Err(reason) => return Err(Refusal::not_found(format!("could not open '{location}': {reason}"))),
        };
        let input = Input::open([place], &Options::default().with_format(Format::Parquet)).await;
        Ok(input.map_err(hitherto_offline::Error::from)?)
    }

    /// The place of a training set's file, as its manifest has it; none where this server cannot read it.
    pub(crate) fn dataset_place(&self, location: &str, own: &OfflineStore) -> Option<OutputLocation> {
        match Place::parse(location).ok()? {
            Place::Local(path) => OutputLocation::file(&path).ok(),
            Place::Remote(remote) => {
                let store = self.store(&remote, own).ok()?;
                Some(OutputLocation::object(Arc::clone(store.store()), store.base().clone(), location))
            }
        }
    }

    /// The place that `url` names, links followed, if it lies under what is allowed. What does not is refused in the
    /// same words whether it exists or not.
    async fn admit(&self, field: &str, url: &str) -> Result<Place, Refusal> {
        let place = Place::parse(url).map_err(|reason| refused(field, url, reason))?;
        let found = match place {
            Place::Remote(remote) => self.allows_remote(&remote).then_some(Place::Remote(remote)),
            Place::Local(path) => self.allowed_path(&path).await.map(Place::Local),
        };
        found.ok_or_else(|| {
            refused(field, url, "it lies under none of `server.allowed_urls`; nothing is, unless listed")
        })
    }

    fn allows_remote(&self, wanted: &Remote) -> bool {
        self.allowed.iter().any(|place| matches!(place, Place::Remote(folder) if wanted.is_inside(folder)))
    }

    async fn allowed_path(&self, wanted: &Path) -> Option<PathBuf> {
        let wanted = follow_links(wanted).await.ok()?;
        for place in &self.allowed {
            if let Place::Local(folder) = place
                && let Ok(folder) = follow_links(folder).await
                && wanted.starts_with(folder)
            {
                return Some(wanted);
            }
        }
        None
    }

    /// The store of `wanted`, based at it.
    fn store(&self, wanted: &Remote, own: &OfflineStore) -> Result<OfflineStore, Refusal> {
        let opened = OfflineStore::open(wanted.url.as_str(), &self.store_options)?;
        match Place::parse(own.url().as_str()) {
            Ok(Place::Remote(place)) if place.root == wanted.root => {
                Ok(OfflineStore::with_store(Arc::clone(own.store()), opened.base().clone(), opened.url().clone()))
            }
            _ => Ok(opened),
        }
    }
}

/// Whether `inner` is `folder` or lies in it, links followed.
async fn leads_into(inner: &Path, folder: &Path) -> bool {
    match (follow_links(inner).await, follow_links(folder).await) {
        (Ok(inner), Ok(folder)) => inner.starts_with(folder),
        _ => false,
    }
}

const PATTERN: &str = "it is a pattern; name one file";

/// A path that no reader takes for a pattern.
fn plain(path: &Path) -> Option<String> {
    path.to_str().filter(|text| !text.contains(['*', '?', '['])).map(str::to_owned)
}

/// The path with every link in it followed. A part that does not exist yet is kept as it is: it can be no link.
async fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut known = path;
    loop {
        match tokio::fs::symlink_metadata(known).await {
            // a link to nowhere is an error here: what is written through it cannot be judged
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(name), Some(parent)) = (known.file_name(), known.parent()) else { return Err(error) };
                missing.push(name);
                known = parent;
            }
            Err(error) => return Err(error),
        }
    }
    let mut real = tokio::fs::canonicalize(known).await?;
    real.extend(missing.into_iter().rev());
    Ok(real)
}

fn refused(field: &str, url: &str, reason: &str) -> Refusal {
    Refusal::invalid(field, format!("could not use '{url}' as {field}: {reason}"))
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::os::unix::fs::symlink;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use futures::stream;
    use hitherto_offline::write_parquet;

    use super::*;

    struct Folders {
        root: tempfile::TempDir,
        places: Places,
        own: OfflineStore,
    }

    /// `allowed` and `secret` beside each other.
    fn folders() -> Folders {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["allowed", "secret"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        std::fs::write(root.path().join("secret/a.csv"), "k\n1\n").expect("a file");
        std::fs::write(root.path().join("allowed/a.csv"), "k\n1\n").expect("a file");
        let places = Places::new(&[root.path().join("allowed").display().to_string(), "s3://bucket/in".to_owned()]);
        let own = OfflineStore::open("memory:///", [("", ""); 0]).expect("a store");
        Folders { root, places: places.expect("allowed urls"), own }
    }

    impl Folders {
        async fn reads(&self, path: &str) -> Result<String, String> {
            let url = self.root.path().join(path).display().to_string();
            let input = self.places.input("spine_url", &url, &self.own).await.map_err(|refusal| refusal.0.message)?;
            Ok(input.names().collect())
        }

        async fn writes(&self, path: &str) -> Result<(), String> {
            let url = self.root.path().join(path).display().to_string();
            self.places.output("out_url", &url, &self.own).await.map(drop).map_err(|refusal| refusal.0.message)
        }
    }

    #[tokio::test]
    async fn only_what_lies_under_an_allowed_folder_is_read() {
        let folders = folders();
        let read = folders.reads("allowed/a.csv").await.expect("it is allowed");
        assert!(read.ends_with("allowed/a.csv"), "{read}");
        for path in ["secret/a.csv", "secret/absent.csv", "allowed2/a.csv"] {
            let message = folders.reads(path).await.expect_err(path);
            assert!(
                message.ends_with("it lies under none of `server.allowed_urls`; nothing is, unless listed"),
                "{message}"
            );
        }
        let message = folders.reads("allowed/../secret/a.csv").await.expect_err("dots");
        assert!(message.contains("must not hold '..'"), "{message}");
        let message = folders.reads("allowed/*.csv").await.expect_err("a pattern");
        assert!(message.contains("name one file"), "{message}");
    }

    #[tokio::test]
    async fn links_are_judged_by_where_they_lead() {
        let folders = folders();
        let at = |path: &str| folders.root.path().join(path);
        symlink(at("secret"), at("allowed/out")).expect("a link");
        symlink(at("allowed/a.csv"), at("allowed/again.csv")).expect("a link");
        symlink(at("secret/new.parquet"), at("allowed/dangling.parquet")).expect("a link");
        symlink(at("allowed"), at("alias")).expect("a link");
        assert!(folders.reads("allowed/out/a.csv").await.is_err());
        assert!(folders.writes("allowed/out/b.parquet").await.is_err());
        assert!(folders.writes("allowed/dangling.parquet").await.is_err());
        assert!(folders.reads("allowed/again.csv").await.is_ok());
        assert!(folders.reads("alias/a.csv").await.is_ok());
        assert!(folders.writes("allowed/b.parquet").await.is_ok());
        assert!(folders.writes("allowed/new/b.parquet").await.is_ok());
        assert!(folders.writes("b.parquet").await.is_err());
        let message = folders.writes("allowed/*.parquet").await.expect_err("a pattern");
        assert!(message.contains("name one file"), "{message}");
    }

    #[tokio::test]
    async fn a_link_that_comes_between_asking_and_writing_leads_nowhere() {
        let folders = folders();
        let at = |path: &str| folders.root.path().join(path);
        let batch =
            RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).expect("a batch");
        std::fs::create_dir(at("allowed/sub")).expect("a folder");
        let url = at("allowed/sub/b.parquet").display().to_string();
        let out = folders.places.output("out_url", &url, &folders.own).await.expect("it is allowed");
        let write = || {
            let rows = stream::iter([Ok(batch.clone())]);
            write_parquet(&out, batch.schema(), rows, ready(Ok(Vec::new())), |_| ())
        };
        assert_eq!(write().await.expect("a file").rows, 1);
        std::fs::rename(at("allowed/sub"), at("allowed/old")).expect("it is moved");
        symlink(at("secret"), at("allowed/sub")).expect("a link");
        let refused = write().await.expect_err("it leads elsewhere").to_string();
        assert!(refused.contains("a link on the way to it leads elsewhere"), "{refused}");
        let secret: Vec<_> = std::fs::read_dir(at("secret")).expect("a folder").collect();
        assert_eq!(secret.len(), 1, "{secret:?}");
    }

    #[tokio::test]
    async fn urls_outside_are_refused() {
        let folders = folders();
        let output = |url: &'static str| folders.places.output("out_url", url, &folders.own);
        assert_eq!(output("s3://bucket/in/a.parquet").await.expect("allowed").name(), "s3://bucket/in/a.parquet");
        for url in ["s3://bucket/out/a.parquet", "s3://bucket/in/../out/a", "gs://bucket/in/a"] {
            let Refusal(failure) = output(url).await.expect_err(url);
            assert_eq!(
                (failure.kind, failure.violations[0].field.as_str()),
                (hitherto_core::Kind::InvalidArgument, "out_url")
            );
        }
    }

    #[tokio::test]
    async fn history_and_registry_are_out_of_reach() {
        let folders = folders();
        let at = |path: &str| folders.root.path().join(path).display().to_string();
        symlink(folders.root.path().join("secret"), folders.root.path().join("alias")).expect("a link");
        let own = OfflineStore::open(&format!("file://{}", at("secret/offline")), [("", ""); 0]).expect("a store");
        let registry = folders.root.path().join("registry.db");
        let checked = async |allowed: String| {
            let places = Places::new(&[allowed]).expect("a place");
            places.check_apart(&own, Some(&registry)).await.map_err(|error| error.to_string())
        };
        assert_eq!(checked(at("allowed")).await, Ok(()));
        assert_eq!(checked("s3://bucket/in".to_owned()).await, Ok(()));
        for reaching in [at("secret"), at("secret/offline/tables"), at("alias/offline")] {
            let refused = checked(reaching.clone()).await.expect_err("it leads there");
            assert!(refused.contains("history (`offline.url`) is reached by it"), "{reaching}: {refused}");
        }
        let apart = OfflineStore::open("s3://bucket/history", [("", ""); 0]).expect("a store");
        let root = Places::new(&[at("")]).expect("a place");
        let refused = root.check_apart(&apart, Some(&registry)).await.expect_err("the registry lies there").to_string();
        assert!(refused.contains("the registry is reached by it"), "{refused}");
        let bucket = Places::new(&["s3://bucket".to_owned()]).expect("a place");
        assert!(bucket.check_apart(&apart, None).await.is_err());
    }

    #[test]
    fn settings_that_name_no_place_are_refused() {
        let error = Places::new(&["data/spines".to_owned()]).expect_err("a relative path");
        assert_eq!(
            error.to_string(),
            "could not use 'data/spines' of `server.allowed_urls`: a path must be absolute; write it like /folder, \
             file:///folder or s3://bucket/prefix"
        );
    }
}
