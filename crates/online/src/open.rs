//! From a url to a store.

use std::path::PathBuf;
use std::sync::Arc;

use hitherto_core::Name;
use percent_encoding::percent_decode_str;

use crate::{EmbeddedStore, Error, Location, OnlineStore, RedisStore, Result};

/// Opens the store at a location, making an embedded one that is not there yet: `embedded:///path`, `redis://host:6379`,
/// `redis-sentinel://host:26379,…/NAME` or `redis-cluster://host:6379,…`; `rediss` for `redis` where it is encrypted.
/// A Redis that is down is told of by the first call.
pub fn open(location: impl Into<Location>, project: &Name) -> Result<Arc<dyn OnlineStore>> {
    let location = location.into();
    match target(&location.url)? {
        Target::Embedded(path) => Ok(Arc::new(EmbeddedStore::open(path, project)?)),
        Target::Redis => Ok(Arc::new(RedisStore::new(location, project)?)),
    }
}

/// Opens the store at a location, or finds that there is none: a command that only reads never makes one.
pub fn open_existing(location: impl Into<Location>, project: &Name) -> Result<Option<Arc<dyn OnlineStore>>> {
    let location = location.into();
    match target(&location.url)? {
        Target::Embedded(path) => {
            let found = EmbeddedStore::open_existing(path, project)?;
            Ok(found.map(|store| -> Arc<dyn OnlineStore> { Arc::new(store) }))
        }
        Target::Redis => Ok(Some(Arc::new(RedisStore::new(location, project)?))),
    }
}

#[derive(Debug, PartialEq)]
enum Target {
    Embedded(PathBuf),
    Redis,
}

fn target(url: &str) -> Result<Target> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Error::Url { problem: "it has no '://'".to_owned() });
    };
    match scheme {
        "embedded" if rest.is_empty() => Err(Error::Url { problem: "it names no path".to_owned() }),
        "embedded" => percent_decode_str(rest)
            .decode_utf8()
            .map(|path| Target::Embedded(PathBuf::from(path.as_ref())))
            .map_err(|_| Error::Url { problem: "its path is not UTF-8".to_owned() }),
        "redis" | "rediss" | "redis+unix" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster"
        | "rediss-cluster" => Ok(Target::Redis),
        other => Err(Error::Scheme { scheme: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_store_and_errors_hide_what_follows() {
        assert_eq!(target("embedded:///a%20b/c").expect("a url"), Target::Embedded("/a b/c".into()));
        assert_eq!(target("redis://u:p@h/0").expect("a url"), Target::Redis);
        assert_eq!(target("rediss-cluster://u:p@h,i").expect("a url"), Target::Redis);
        for url in ["valkey://:secret@h", "http://:secret@h", "embedded://", "no url: secret", ""] {
            let message = target(url).expect_err(url).to_string();
            assert!(message.contains("redis://") && !message.contains("secret"), "{message}");
        }
    }
}
