//! Where a dataset is, as the naming of OpenLineage has it, so that other programs' events about the same file meet ours.

use std::collections::{BTreeMap, HashSet};

use serde::{Serialize, Serializer};

use crate::spine::UPLOADED;

/// So many files are named one by one; of more, their folders are, and of more folders what is above all of them.
const FILES_MAX: usize = 64;

/// Where a dataset is: a bucket and a key in it, or `file` and a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Place {
    pub(super) namespace: String,
    /// Empty for the root of a bucket.
    #[serde(serialize_with = "name_or_root")]
    pub(super) name: String,
    #[serde(skip)]
    pub(super) uri: String,
}

impl Place {
    /// Of an absolute path or a URL, without user, password and query; nothing of standard input and of rows that a client
    /// has sent, which are nowhere.
    pub(super) fn of(place: &str) -> Option<Self> {
        let Some((scheme, rest)) = place.split_once("://") else {
            return (place != "-" && place != UPLOADED).then(|| Self::file(place));
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme == "file" {
            return Some(Self::file(&format!("/{path}")));
        }
        Some(Self::within(&format!("{scheme}://{}", without_user(scheme, authority)), path))
    }

    fn file(path: &str) -> Self {
        Self { namespace: "file".to_owned(), name: path.to_owned(), uri: format!("file://{}", encoded(path)) }
    }

    fn within(namespace: &str, name: &str) -> Self {
        match namespace {
            "file" if name.is_empty() => Self::file("/"),
            "file" => Self::file(name),
            _ => Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                uri: format!("{namespace}/{}", encoded(name)),
            },
        }
    }

    /// Its name as events have it: never empty.
    pub(super) fn name(&self) -> &str {
        if self.name.is_empty() { "/" } else { &self.name }
    }

    /// A folder or file in it.
    pub(super) fn join(&self, name: &str) -> Self {
        let name = match self.name.trim_end_matches('/') {
            "" if !self.name.starts_with('/') => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        Self::within(&self.namespace, &name)
    }

    /// The folder that it is in.
    fn folder(&self) -> Self {
        Self::within(&self.namespace, self.name.rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    /// The deepest folder that is above both, or one of them; of places of one namespace.
    fn shared(&self, other: &Self) -> Self {
        let both = self.name.split('/').zip(other.name.split('/'));
        let shared: Vec<&str> = both.take_while(|(one, other)| one == other).map(|(part, _)| part).collect();
        Self::within(&self.namespace, &shared.join("/"))
    }
}

/// Each place once. Where they are many, the folders that they are in, and where these are many, what is above all of them.
pub(super) fn bounded(places: impl IntoIterator<Item = Place>) -> Vec<Place> {
    let files = each_once(places);
    if files.len() <= FILES_MAX {
        return files;
    }
    let folders = each_once(files.iter().map(Place::folder));
    if folders.len() <= FILES_MAX {
        return folders;
    }
    let mut above: BTreeMap<String, Place> = BTreeMap::new();
    for folder in folders {
        let shared = above.get(&folder.namespace).map(|known| known.shared(&folder));
        above.insert(folder.namespace.clone(), shared.unwrap_or(folder));
    }
    above.into_values().take(FILES_MAX).collect()
}

fn each_once(places: impl IntoIterator<Item = Place>) -> Vec<Place> {
    let mut seen = HashSet::new();
    places.into_iter().filter(|place| seen.insert(place.clone())).collect()
}

fn name_or_root<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if name.is_empty() { "/" } else { name })
}

/// Where a URL leads, without who goes there. In `abfss://container@account` the container stands where others have a user,
/// and two of them are two places; whatever has a password is a user.
pub(super) fn without_user<'a>(scheme: &str, authority: &'a str) -> &'a str {
    match authority.rsplit_once('@') {
        Some((user, host)) if matches!(scheme, "http" | "https") || user.contains(':') => host,
        _ => authority,
    }
}

/// A path as it stands in a URI.
fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'=' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_without_secrets() {
        for (place, namespace, name, uri) in [
            ("/data/a b.parquet", "file", "/data/a b.parquet", "file:///data/a%20b.parquet"),
            ("s3://bucket/x/y.csv", "s3://bucket", "x/y.csv", "s3://bucket/x/y.csv"),
            ("https://me:secret@host/a?key=b", "https://host", "a", "https://host/a"),
            ("file:///data/x", "file", "/data/x", "file:///data/x"),
            ("s3://key:secret@bucket/x", "s3://bucket", "x", "s3://bucket/x"),
            ("az://box/x", "az://box", "x", "az://box/x"),
            ("abfss://box@account.host/x", "abfss://box@account.host", "x", "abfss://box@account.host/x"),
            ("abfss://other@account.host/x", "abfss://other@account.host", "x", "abfss://other@account.host/x"),
        ] {
            let found = Place::of(place).expect("a place");
            assert_eq!((found.namespace.as_str(), found.name.as_str(), found.uri.as_str()), (namespace, name, uri));
        }
        assert_eq!(Place::of("-"), None);
        let table = Place::of("s3://bucket").expect("a place").join("v").join("v-1");
        assert_eq!((table.name.as_str(), table.uri.as_str()), ("v/v-1", "s3://bucket/v/v-1"));
        let folder = Place::of("/data/x/a.csv").expect("a place").folder();
        assert_eq!((folder.name.as_str(), folder.uri.as_str()), ("/data/x", "file:///data/x"));
    }

    #[test]
    fn many_files_are_told_by_what_is_above_them() {
        let told = |files: usize, place: &dyn Fn(usize) -> String| -> Vec<String> {
            let places = (0..files).map(|file| Place::of(&place(file)).expect("a place"));
            bounded(places.chain(Place::of(&place(0)))).iter().map(|place| place.uri.clone()).collect()
        };
        assert_eq!(told(2, &|file| format!("/data/{file}")), ["file:///data/0", "file:///data/1"]);
        assert_eq!(told(64, &|file| format!("/data/{file}")).len(), 64);
        assert_eq!(told(65, &|file| format!("/data/{file}")), ["file:///data"]);
        assert_eq!(told(65, &|file| format!("/data/{}/{file}", file % 2)), ["file:///data/0", "file:///data/1"]);
        assert_eq!(told(65, &|file| format!("/data/{file}/x")), ["file:///data"]);
        assert_eq!(told(65, &|file| format!("/{file}/x")), ["file:///"]);
        assert_eq!(told(65, &|file| format!("s3://bucket/{file}/x")), ["s3://bucket/"]);
        assert_eq!(told(99, &|file| format!("s3://bucket{file}/x")).len(), 64);
    }

    #[test]
    fn no_name_is_empty() {
        let told = |place: &str| serde_json::to_value(Place::of(place).expect("a place")).expect("JSON");
        assert_eq!(told("s3://bucket"), serde_json::json!({"namespace": "s3://bucket", "name": "/"}));
        assert_eq!(told("s3://bucket/x"), serde_json::json!({"namespace": "s3://bucket", "name": "x"}));
        assert_eq!(Place::of("s3://bucket").expect("a place").name(), "/");
        assert_eq!(Place::of("/x").expect("a place").folder().uri, "file:///");
    }
}
