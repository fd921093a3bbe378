//! Places as requests and settings name them, in one normal form: what is allowed is decided on that form alone, and
//! only that form is ever opened.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

/// A file or folder, of this machine or of an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An absolute path without `..`.
    Local(PathBuf),
    /// A URL.
    Remote(Remote),
}

/// A place in an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// `scheme://host`, with the port where there is one.
    pub(crate) root: String,
    /// The decoded parts of its path; none of them is empty, `.` or `..`.
    pub(crate) parts: Vec<String>,
    /// The whole, as it is opened.
    pub(crate) url: Url,
}

impl Place {
    /// Reads a path, a `file://` URL or another URL; otherwise what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once("://") {
            None => local(Path::new(text)),
            Some((scheme, _)) => {
                let url = Url::parse(text).map_err(|_| "it is no URL")?;
                if scheme.eq_ignore_ascii_case("file") {
                    local(&url.to_file_path().map_err(|()| "it names no file of this machine")?)
                } else {
                    remote(url, text)
                }
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Remote(remote) => write!(f, "{}", remote.url),
        }
    }
}

impl Remote {
    /// Whether it is `folder` or lies inside of it.
    pub(crate) fn is_inside(&self, folder: &Self) -> bool {
        self.root == folder.root && self.parts.starts_with(&folder.parts)
    }
}

fn local(path: &Path) -> Result<Place, &'static str> {
    if !path.is_absolute() {
        return Err("a path must be absolute");
    }
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err("it must not hold '..'");
    }
    // rebuilt from its parts, so that no '.' and no double '/' is left
    Ok(Place::Local(path.components().collect()))
}

fn remote(url: Url, text: &str) -> Result<Place, &'static str> {
    // a parser of URLs takes dots away silently: look at what was written, too
    let written = percent_decode_str(text).decode_utf8().map_err(|_| "it is not UTF-8")?;
    if written.split(['/', '\\']).any(|part| part == "..") {
        return Err("it must not hold '..'");
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("it must have no user, password, query or fragment");
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no bucket")?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let root = format!("{}://{host}{port}", url.scheme());
    let path = percent_decode_str(url.path()).decode_utf8().map_err(|_| "it is not UTF-8")?;
    let parts: Vec<String> = path.trim_matches('/').split('/').map(str::to_owned).collect();
    let parts = if parts == [""] { Vec::new() } else { parts };
    if parts.iter().any(|part| matches!(part.as_str(), "" | "." | "..") || part.contains(['\\', '\0'])) {
        return Err("its path must not hold '.', '..', '\\' or an empty part");
    }
    Ok(Place::Remote(Remote { root, parts, url }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> Remote {
        match Place::parse(text) {
            Ok(Place::Remote(remote)) => remote,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn local_places_have_one_form() {
        let place = |text| Place::parse(text);
        assert_eq!(place("/a//b/./c"), Ok(Place::Local("/a/b/c".into())));
        assert_eq!(place("file:///a%20b/c"), Ok(Place::Local("/a b/c".into())));
        assert_eq!(place("/a/../b"), Err("it must not hold '..'"));
        assert_eq!(place("a/b"), Err("a path must be absolute"));
        assert_eq!(place(""), Err("a path must be absolute"));
        assert_eq!(place("file://elsewhere/a"), Err("it names no file of this machine"));
        // dots in a URL are taken away before anything is decided
        assert_eq!(place("file:///a/%2e%2e/b"), Ok(Place::Local("/b".into())));
    }

    #[test]
    fn a_url_is_inside_a_folder_by_whole_parts() {
        let folder = remote("s3://bucket/allowed/");
        for inside in ["s3://bucket/allowed/a.parquet", "s3://bucket/allowed", "s3://bucket/%61llowed/b/c"] {
            assert!(remote(inside).is_inside(&folder), "{inside}");
        }
        for outside in ["s3://bucket/allowed2/a", "s3://bucket/a", "s3://other/allowed/a", "gs://bucket/allowed/a"] {
            assert!(!remote(outside).is_inside(&folder), "{outside}");
        }
        assert!(remote("s3://bucket/x").is_inside(&remote("s3://bucket")));
    }

    #[test]
    fn tricks_in_urls_are_refused() {
        for trick in [
            "s3://bucket/allowed/../secret",
            "s3://bucket/allowed/%2e%2e/secret",
            "s3://bucket/allowed/..%2Fsecret",
            "s3://bucket/allowed/%2e./secret",
            "s3://bucket/allowed//secret",
            "s3://bucket/allowed\\..\\secret",
            "s3://user:password@bucket/allowed/a",
            "s3://bucket/allowed/a?versionId=1",
            "s3:///allowed/a",
        ] {
            assert!(Place::parse(trick).is_err(), "{trick} is {:?}", Place::parse(trick));
        }
    }
}
