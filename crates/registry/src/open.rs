//! From a URL to a registry.

use std::path::PathBuf;
use std::sync::Arc;

use hitherto_core::Name;
use percent_encoding::percent_decode_str;

use crate::{AbsentRegistry, Error, Registry, Result, SqliteRegistry};

/// Opens the registry of `project` at `url`, and creates it if it is not there: `sqlite:///path/to/registry.db`. Its audit
/// log calls whoever changes it through this `unknown`.
pub async fn open(url: &str, project: &Name) -> Result<Arc<dyn Registry>> {
    Ok(Arc::new(SqliteRegistry::open(&sqlite_path(url)?, project).await?))
}

/// The same for `actor`: so the audit log calls whoever changes it through this.
pub async fn open_as(url: &str, project: &Name, actor: &str) -> Result<Arc<dyn Registry>> {
    Ok(Arc::new(SqliteRegistry::open(&sqlite_path(url)?, project).await?.with_actor(actor)))
}

/// The same for commands that create nothing: a registry that is not there is an [`AbsentRegistry`].
pub async fn open_existing_as(url: &str, project: &Name, actor: &str) -> Result<Arc<dyn Registry>> {
    match SqliteRegistry::open_existing(&sqlite_path(url)?, project).await? {
        Some(registry) => Ok(Arc::new(registry.with_actor(actor))),
        None => Ok(Arc::new(AbsentRegistry::new(url))),
    }
}

/// The path in a `sqlite://` URL, its percent escapes decoded.
fn sqlite_path(url: &str) -> Result<PathBuf> {
    let wrong = |reason| Error::Url { url: url.to_owned(), reason };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Error::Url {
            url: url.to_owned(),
            reason: "it is no URL; write it like sqlite:///path/registry.db",
        });
    };
    match scheme {
        "sqlite" => {}
        "postgres" | "postgresql" => {
            return Err(Error::Unsupported {
                // the rest may hold a password
                url: format!("{scheme}://…"),
                reason: "PostgreSQL is not supported yet; use sqlite:///path/registry.db".to_owned(),
            });
        }
        _ => {
            return Err(Error::Unsupported {
                url: format!("{scheme}://…"),
                reason: format!("'{scheme}' is no kind of registry; use sqlite:///path/registry.db"),
            });
        }
    }
    if !rest.starts_with('/') {
        return Err(wrong("the path must be absolute, with three slashes: sqlite:///path/registry.db"));
    }
    if rest.contains(['?', '#']) {
        return Err(wrong("it takes no parameters; write '?' as %3F and '#' as %23 if they belong to the path"));
    }
    if rest.ends_with('/') {
        return Err(wrong("it names a folder; write it like sqlite:///path/registry.db"));
    }
    let path = percent_decode_str(rest).decode_utf8().map_err(|_| wrong("the path is not UTF-8"))?;
    Ok(PathBuf::from(path.into_owned()))
}

#[cfg(test)]
mod tests {
    use hitherto_core::Kind;

    use super::*;

    #[test]
    fn urls_name_absolute_paths() {
        assert_eq!(sqlite_path("sqlite:///a/b.db").expect("a path"), PathBuf::from("/a/b.db"));
        assert_eq!(sqlite_path("sqlite:///a%20b/c.db").expect("a path"), PathBuf::from("/a b/c.db"));
        for bad in ["/a/b.db", "sqlite://a/b.db", "sqlite:///a/b.db?mode=rwc", "sqlite:///a/"] {
            assert_eq!(sqlite_path(bad).expect_err("no path").kind(), Kind::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn postgres_is_refused_without_showing_its_password() {
        let refused = sqlite_path("postgres://me:secret@host/db").expect_err("not yet");
        assert_eq!(refused.kind(), Kind::Unsupported);
        assert_eq!(
            refused.to_string(),
            "could not open the registry 'postgres://…': PostgreSQL is not supported yet; use sqlite:///path/registry.db"
        );
    }

    #[tokio::test]
    async fn reading_creates_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/sub/registry.db", folder.path().display());
        let project: Name = "p".parse().expect("a name");
        let absent = open_existing_as(&url, &project, "ada").await.expect("reads as empty");
        assert_eq!(absent.revision().await.expect("reads"), 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was created");
        open(&url, &project).await.expect("creates");
        let present = open_existing_as(&url, &project, "ada").await.expect("opens");
        assert_eq!(present.describe(), format!("{url} (project p)"));
    }
}
