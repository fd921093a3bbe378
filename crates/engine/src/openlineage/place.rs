//! Where a dataset is, as the naming of OpenLineage has it, so that other programs' events about the same file meet ours.

use serde::Serialize;

/// Where a dataset is: a bucket and a key in it, or `file` and a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(skip)]
    pub(super) uri: String,
}

impl Place {
    /// Of an absolute path or a URL, without user, password and query; nothing of standard input, which is nowhere.
    pub(super) fn of(place: &str) -> Option<Self> {
        let Some((scheme, rest)) = place.split_once("://") else {
            return (place != "-").then(|| Self::file(place));
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme == "file" {
            return Some(Self::file(&format!("/{path}")));
        }
        let namespace = format!("{scheme}://{}", without_user(scheme, authority));
        Some(Self { name: path.to_owned(), uri: format!("{namespace}/{}", encoded(path)), namespace })
    }

    fn file(path: &str) -> Self {
        Self { namespace: "file".to_owned(), name: path.to_owned(), uri: format!("file://{}", encoded(path)) }
    }

    /// A folder or file in it.
    pub(super) fn join(&self, name: &str) -> Self {
        let with = |text: &str, name: &str| match text.trim_end_matches('/') {
            "" if !text.starts_with('/') => name.to_owned(),
            text => format!("{text}/{name}"),
        };
        Self { namespace: self.namespace.clone(), name: with(&self.name, name), uri: with(&self.uri, &encoded(name)) }
    }

    /// The folder that it is in.
    pub(super) fn folder(&self) -> Self {
        let up = |text: &str| text.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned());
        Self { namespace: self.namespace.clone(), name: up(&self.name), uri: up(&self.uri) }
    }
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
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'=' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
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
}
