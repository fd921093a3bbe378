//! Places as a user names them: a path, a pattern, a URL, or `-` for standard input.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use hitherto_offline::OfflineStore;
use hitherto_offline::OutputLocation;
use hitherto_offline::input::{Format, Input, Location, Options};

use crate::stores::cloud_options;

/// Open what lies at `places`.
pub(crate) async fn input(places: &[String], format: Option<Format>) -> Result<Input> {
    let locations = places.iter().map(|place| location(place)).collect::<Result<Vec<_>>>()?;
    let options = format.map_or_else(Options::default, |format| Options::default().with_format(format));
    Ok(Input::open(locations, &options).await?)
}

fn location(place: &str) -> Result<Location> {
    if place == "-" {
        return Ok(Location::Stream { name: "-".to_owned(), reader: Box::new(tokio::io::stdin()) });
    }
    if !is_remote(place) {
        return Ok(Location::Local(place.to_owned()));
    }
    let store = OfflineStore::open(place, cloud_options())?;
    Ok(Location::Object { url: place.to_owned(), store: Arc::clone(store.store()), path: store.base().clone() })
}

/// Where a file is to be written.
pub(crate) fn output(place: &str) -> Result<OutputLocation> {
    if is_remote(place) {
        let store = OfflineStore::open(place, cloud_options())?;
        return Ok(OutputLocation::object(Arc::clone(store.store()), store.base().clone(), place));
    }
    Ok(OutputLocation::file(Path::new(place.strip_prefix("file://").unwrap_or(place)))?)
}

fn is_remote(place: &str) -> bool {
    place.split_once("://").is_some_and(|(scheme, _)| scheme != "file")
}
