//! Where histories live: one registry file and one online store, with a project for each of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use hitherto_core::{Name, Timestamp};
use hitherto_engine::{Clock, Engine};
use hitherto_offline::OfflineStore;
use hitherto_online::OnlineStore;
use hitherto_online::fixture::RedisServer;
use tempfile::TempDir;

/// A folder and an online store that histories share, each under a project of its own.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    redis: Option<RedisServer>,
    projects: AtomicU64,
}

impl Home {
    /// Online is the embedded store.
    pub(crate) fn embedded() -> Self {
        Self { folder: folder(), redis: None, projects: AtomicU64::default() }
    }

    /// Online is a redis-server of its own.
    pub(crate) fn redis() -> Self {
        Self { folder: folder(), redis: Some(RedisServer::start()), projects: AtomicU64::default() }
    }

    /// The redis-server.
    pub(crate) fn server(&mut self) -> &mut RedisServer {
        self.redis.as_mut().expect("a home with redis")
    }

    /// A name that no other history has.
    pub(crate) fn project(&self) -> Name {
        let number = self.projects.fetch_add(1, Ordering::Relaxed);
        format!("history_{number}").parse().expect("a name")
    }

    /// The online store of `project`.
    pub(crate) fn online(&self, project: &Name) -> Result<Arc<dyn OnlineStore>> {
        let url = match &self.redis {
            Some(server) => server.url(),
            None => format!("embedded://{}", self.folder.path().join("online").display()),
        };
        Ok(hitherto_online::open(&url, project)?)
    }

    /// A new project's engine: its history lies in memory.
    pub(crate) async fn engine(&self) -> Result<Engine> {
        let project = self.project();
        let offline = OfflineStore::open("memory:///history", [("", ""); 0])?;
        let online = self.online(&project)?;
        self.over(&project, &offline, online).await
    }

    /// An engine over the registry and the history of `engine`, with another online store.
    pub(crate) async fn beside(&self, engine: &Engine, online: Arc<dyn OnlineStore>) -> Result<Engine> {
        self.over(engine.project(), engine.offline(), online).await
    }

    async fn over(&self, project: &Name, offline: &OfflineStore, online: Arc<dyn OnlineStore>) -> Result<Engine> {
        let registry = format!("sqlite://{}", self.folder.path().join("registry.db").display());
        let registry = hitherto_registry::open(&registry, project).await?;
        let clock = Clock::Frozen(Timestamp(0));
        Ok(Engine::new(project.clone(), registry, offline.clone(), Some(online), clock))
    }
}

/// In memory where the machine can do that: what is tested here is not the disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}
