//! Configuration: the nearest `hitherto.toml` or `.hitherto` from the working folder upward, then the environment.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hitherto_core::{Name, Span};
use hitherto_engine::Retention;
use hitherto_online::{Identity, Location};
use hitherto_server::{Auth, Limits, Options, TlsOptions, Upkeep};
use serde::Deserialize;

use crate::environment::ENVIRONMENT;
use crate::open_files;
use crate::security::{AuthWord, ClientFiles, WrittenTls};
use crate::size::Size;
use crate::telemetry::{Telemetry, WrittenTelemetry};

/// By which names the field's tools call the collector; they count where ours does not, and before the file.
const COLLECTOR: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// How many small files a table may have before an ingest compacts it, unless configured.
const COMPACT_AFTER: usize = 32;
/// How long replaced files may be kept: at least, for those who are at work, and at most.
const VACUUM_RETENTION: [&str; 2] = ["10m", "7d"];
/// How long entries of a log are kept at least: who reads on in it is never so far behind.
const LOG_RETENTION_MIN: &str = "1h";

/// Everything configured, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The project.
    pub project: Name,
    /// Who changes the registry, for its audit log.
    pub actor: String,
    /// The folder of the embedded stores.
    pub home: PathBuf,
    /// The configuration file, if one was found.
    pub file: Option<PathBuf>,
    /// URL of the offline store.
    pub offline_url: String,
    /// How many small files of a table an ingest leaves before it compacts them; none for any number.
    pub compact_after: Option<NonZeroUsize>,
    /// How often a server deletes what nobody needs any more, and how long it is kept; none for never.
    pub upkeep: Option<Upkeep>,
    /// How long files are kept that were replaced.
    pub vacuum_retention: Span,
    /// Memory that training sets and queries share.
    pub memory_limit: Size,
    /// Where the online store is, with what opens it.
    pub online: Location,
    /// How often the follower runs; none for never.
    pub follow: Option<Duration>,
    /// URL of the registry. May hold a password: never print it.
    pub registry_url: String,
    /// Where OpenLineage events go: a path or a URL; nowhere by default. May hold a password: never print it.
    pub lineage_url: Option<String>,
    /// Address of gRPC.
    pub listen: String,
    /// Address of health and metrics.
    pub http: String,
    /// Address of PostgreSQL's protocol; none for nowhere.
    pub postgres: Option<String>,
    /// What a remote request may read or write as files.
    pub allowed_urls: Vec<String>,
    /// How long a query of SQL may take in the server; none for any time.
    pub sql_timeout: Option<Duration>,
    /// How many rows it may have; none for any number.
    pub sql_rows_max: Option<u64>,
    /// How many queries make rows at once; none for twice as many as there are cores.
    pub sql_at_once: Option<NonZeroUsize>,
    /// What callers must show.
    pub auth: Auth,
    /// The files of TLS; none for plain connections.
    pub tls: Option<TlsOptions>,
    /// Files for calls of a server.
    pub client: ClientFiles,
    /// How many reads of features a server lets in.
    pub requests: Limits,
    /// How many pushes it lets in.
    pub pushes: Limits,
    /// From how long on a request is logged as slow; none for never.
    pub slow_request: Option<Duration>,
    /// Round trips to a remote online store that are under way before reads are joined; 0 for never.
    pub round_trips_max: usize,
    /// Where traces go; none for nowhere.
    pub telemetry: Option<Telemetry>,
    /// Connections of gRPC at once; pages have at most 256.
    pub connections_max: usize,
    /// Clients of PostgreSQL's wire at once.
    pub postgres_connections_max: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    project: Option<String>,
    offline: Offline,
    online: Online,
    registry: Store,
    lineage: Store,
    server: Server,
    client: ClientFiles,
    sql: Sql,
    telemetry: WrittenTelemetry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    url: Option<String>,
    url_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Offline {
    url: Option<String>,
    url_file: Option<PathBuf>,
    compact_after: Option<usize>,
    vacuum_every: Option<String>,
    vacuum_retention: Option<String>,
    log_retention: Option<String>,
    memory_limit: Option<Size>,
}

impl Offline {
    fn vacuum_retention(&self) -> Result<Span> {
        let kept: Span =
            self.vacuum_retention.as_deref().unwrap_or("7d").parse().context("offline.vacuum_retention")?;
        let [least, most] = VACUUM_RETENTION;
        if kept < least.parse::<Span>()? || kept > most.parse::<Span>()? {
            bail!(
                "offline.vacuum_retention: {kept} is not between {least}, which whoever reads or writes needs, and {most}, for which a \
                 table remembers what it replaced"
            );
        }
        Ok(kept)
    }

    fn upkeep(&self) -> Result<Option<Upkeep>> {
        let every = duration(self.vacuum_every.as_deref().unwrap_or("1h"), "offline.vacuum_every")?;
        let log: Span = self.log_retention.as_deref().unwrap_or("30d").parse().context("offline.log_retention")?;
        if !log.is_zero() && log < LOG_RETENTION_MIN.parse::<Span>()? {
            bail!("offline.log_retention: {log} is less than {LOG_RETENTION_MIN}; write 0s to keep all of it");
        }
        let retention = Retention { files: self.vacuum_retention()?, log: (!log.is_zero()).then_some(log) };
        Ok(every.map(|every| Upkeep { every, retention }))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Online {
    url: Option<String>,
    url_file: Option<PathBuf>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    tls: Tls,
    follow: Option<String>,
    max_round_trips: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Server {
    listen: Option<String>,
    http: Option<String>,
    postgres: Option<String>,
    allowed_urls: Vec<String>,
    auth: AuthWord,
    tls: Option<WrittenTls>,
    max_concurrent_requests: Option<usize>,
    max_queued_requests: Option<usize>,
    max_concurrent_pushes: Option<usize>,
    max_queued_pushes: Option<usize>,
    max_connections: Option<usize>,
    max_postgres_connections: Option<usize>,
    slow_request: Option<String>,
}

impl Server {
    fn requests(&self) -> Result<Limits> {
        let written = (self.max_concurrent_requests, self.max_queued_requests);
        limits("server.max_concurrent_requests", written, Limits::REQUESTS)
    }

    fn pushes(&self) -> Result<Limits> {
        let written = (self.max_concurrent_pushes, self.max_queued_pushes);
        limits("server.max_concurrent_pushes", written, Limits::PUSHES)
    }

    /// Of gRPC, by default so many that there are files left for the stores, and of PostgreSQL's wire.
    fn connections(&self) -> Result<(usize, usize)> {
        if self.max_connections == Some(0) {
            bail!("server.max_connections: it must be at least 1");
        }
        if self.max_postgres_connections == Some(0) {
            bail!("server.max_postgres_connections: it must be at least 1");
        }
        let by_files = open_files::max().map_or(usize::MAX, |files| (files / 2).max(1));
        let grpc = self.max_connections.unwrap_or(Options::CONNECTIONS_MAX.min(by_files));
        Ok((grpc, self.max_postgres_connections.unwrap_or(Options::POSTGRES_CONNECTIONS_MAX)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sql {
    timeout: Option<String>,
    max_rows: Option<u64>,
    max_concurrent: Option<usize>,
}

impl Config {
    /// The configuration for a command that runs in `folder`; `chosen` is the file given with `--config`.
    pub fn load(folder: &Path, chosen: Option<&Path>) -> Result<Self> {
        let found = match chosen {
            Some(file) if !file.is_file() => bail!("--config {}: there is no such file", file.display()),
            // absolute, because a bare file name has no folder of its own
            Some(file) => Some(folder.join(file)),
            None => nearest(folder),
        };
        let base = found.as_deref().and_then(Path::parent).map_or_else(|| folder.to_owned(), Path::to_owned);
        let file = found.filter(|path| path.is_file());
        let mut builder = config::Config::builder();
        if let Some(file) = &file {
            builder = builder.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("HITHERTO").prefix_separator("_").separator("__");
        let known = variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        let chosen_there: Vec<String> = known.keys().cloned().collect();
        let mut written: Written = builder
            .add_source(environment.source(Some(known)))
            .build()
            .and_then(config::Config::try_deserialize)
            .with_context(|| match &file {
                Some(file) => format!("could not read {}", file.display()),
                None => "could not read the HITHERTO_ variables of the environment".to_owned(),
            })?;
        written.prefer(&chosen_there);
        written.resolve(std::path::absolute(base)?, file)
    }

    /// The same with the limit of a flag, where there is one.
    pub(crate) fn with_memory_limit(&self, limit: Option<Size>) -> Self {
        Self { memory_limit: limit.unwrap_or(self.memory_limit), ..self.clone() }
    }

    fn place(&mut self, home: PathBuf) {
        let file_url =
            |place: &str| url::Url::from_file_path(home.join(place)).map_or_else(|()| String::new(), String::from);
        self.offline_url = file_url("offline");
        self.online.url = file_url("online").replacen("file", "embedded", 1);
        self.registry_url = file_url("registry.db").replacen("file", "sqlite", 1);
        self.home = home;
    }
}

impl Written {
    /// A URL of the environment wins over a `url_file` of the file, and the other way round; so does a collector that the
    /// environment names as the field's tools do.
    fn prefer(&mut self, variables: &[String]) {
        let has = |name: &str| variables.iter().any(|variable| variable == name);
        for (url, url_file, section) in [
            (&mut self.online.url, &mut self.online.url_file, "ONLINE"),
            (&mut self.registry.url, &mut self.registry.url_file, "REGISTRY"),
            (&mut self.offline.url, &mut self.offline.url_file, "OFFLINE"),
            (&mut self.lineage.url, &mut self.lineage.url_file, "LINEAGE"),
        ] {
            match (has(&format!("HITHERTO_{section}__URL")), has(&format!("HITHERTO_{section}__URL_FILE"))) {
                (true, false) => *url_file = None,
                (false, true) => *url = None,
                _ => {}
            }
        }
        match (has("HITHERTO_ONLINE__PASSWORD"), has("HITHERTO_ONLINE__PASSWORD_FILE")) {
            (true, false) => self.online.password_file = None,
            (false, true) => self.online.password = None,
            _ => {}
        }
        let standard = COLLECTOR.iter().filter_map(|name| std::env::var(name).ok()).find(|url| !url.is_empty());
        if let Some(url) = standard.filter(|_| !has("HITHERTO_TELEMETRY__OTLP_ENDPOINT")) {
            self.telemetry.otlp_endpoint = Some(url);
        }
    }

    fn resolve(self, base: PathBuf, file: Option<PathBuf>) -> Result<Config> {
        let sql_timeout = duration(self.sql.timeout.as_deref().unwrap_or("5m"), "sql.timeout")?;
        let follow = duration(self.online.follow.as_deref().unwrap_or("1s"), "online.follow")?;
        let slow_request = duration(self.server.slow_request.as_deref().unwrap_or("0s"), "server.slow_request")?;
        let (vacuum_retention, upkeep) = (self.offline.vacuum_retention()?, self.offline.upkeep()?);
        let (requests, pushes) = (self.server.requests()?, self.server.pushes()?);
        let (connections_max, postgres_connections_max) = self.server.connections()?;
        let mut config = Config {
            project: self.project.as_deref().unwrap_or("default").parse().context("project")?,
            actor: actor(),
            home: PathBuf::new(),
            file,
            offline_url: String::new(),
            compact_after: NonZeroUsize::new(self.offline.compact_after.unwrap_or(COMPACT_AFTER)),
            upkeep,
            vacuum_retention,
            memory_limit: self.offline.memory_limit.unwrap_or_else(Size::half_of_the_machine),
            online: Location::default(),
            follow,
            registry_url: String::new(),
            lineage_url: None,
            listen: self.server.listen.unwrap_or_else(|| "127.0.0.1:7420".to_owned()),
            http: self.server.http.unwrap_or_else(|| "127.0.0.1:7421".to_owned()),
            // an empty one is how a variable takes back what the file says
            postgres: self.server.postgres.filter(|address| !address.is_empty()),
            allowed_urls: self.server.allowed_urls,
            sql_timeout,
            sql_rows_max: self.sql.max_rows.filter(|rows| *rows > 0),
            sql_at_once: self.sql.max_concurrent.and_then(NonZeroUsize::new),
            auth: self.server.auth.into(),
            tls: self.server.tls.map(|tls| tls.resolve(&base)).transpose()?,
            client: self.client.resolve(&base),
            requests,
            pushes,
            slow_request,
            round_trips_max: self.online.max_round_trips.unwrap_or(Options::ROUND_TRIPS_MAX),
            telemetry: self.telemetry.resolve()?,
            connections_max,
            postgres_connections_max,
        };
        config.place(base.join(".hitherto"));
        if let Some(url) = url(self.offline.url, self.offline.url_file, &base, "offline")? {
            config.offline_url = url;
        }
        let Online { url: online_url, url_file, password, password_file, tls, .. } = self.online;
        if let Some(url) = url(online_url, url_file, &base, "online")? {
            config.online.url = url;
        }
        let password = one_of(("password", password), password_file, &base, "online")?;
        config.online.password = password.filter(|password| !password.is_empty());
        config.online.tls = tls.read(&base)?;
        if let Some(url) = url(self.registry.url, self.registry.url_file, &base, "registry")? {
            config.registry_url = url;
        }
        // an empty one is how a variable takes back what the file says: nobody is told
        if let Some(url) = url(self.lineage.url, self.lineage.url_file, &base, "lineage")?.filter(|url| !url.is_empty())
        {
            let is_path = !url.contains("://");
            config.lineage_url = Some(if is_path { base.join(url).display().to_string() } else { url });
        }
        Ok(config)
    }
}

/// A length of time; nothing for none.
fn duration(text: &str, setting: &'static str) -> Result<Option<Duration>> {
    let span: Span = text.parse().context(setting)?;
    Ok((!span.is_zero()).then(|| Duration::from_micros(span.micros().cast_unsigned())))
}

/// Limits as written, what is not written by default. Without a place nothing would ever be answered.
fn limits(setting: &str, (at_once, queued): (Option<usize>, Option<usize>), default: Limits) -> Result<Limits> {
    if at_once == Some(0) {
        bail!("{setting}: it must be at least 1");
    }
    Ok(Limits { at_once: at_once.unwrap_or(default.at_once), queued: queued.unwrap_or(default.queued) })
}

impl Tls {
    /// The certificates of the files.
    fn read(self, base: &Path) -> Result<hitherto_online::Tls> {
        let read = |name: &str, file: Option<PathBuf>| {
            let read = |file: PathBuf| {
                let file = base.join(file);
                std::fs::read(&file).with_context(|| format!("[online.tls] {name} {}", file.display()))
            };
            file.map(read).transpose()
        };
        let identity = match (read("cert", self.cert)?, read("key", self.key)?) {
            (Some(cert), Some(key)) => Some(Identity { cert, key }),
            (None, None) => None,
            (Some(_), None) => bail!("[online.tls] has a cert and no key"),
            (None, Some(_)) => bail!("[online.tls] has a key and no cert"),
        };
        Ok(hitherto_online::Tls { ca: read("ca", self.ca)?, identity })
    }
}

fn url(url: Option<String>, file: Option<PathBuf>, base: &Path, section: &str) -> Result<Option<String>> {
    one_of(("url", url), file, base, section)
}

/// A value that is given as it is, or as a file that holds it.
fn one_of(
    (name, value): (&str, Option<String>),
    file: Option<PathBuf>,
    base: &Path,
    section: &str,
) -> Result<Option<String>> {
    match (value, file) {
        (Some(_), Some(_)) => bail!("[{section}] has both {name} and {name}_file: which one counts?"),
        (None, Some(file)) => {
            let file = base.join(file);
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("[{section}] {name}_file {}", file.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        (value, None) => Ok(value),
    }
}

/// The variables that configure, with their values. One of a section's that nobody declared is a misspelt one.
fn variables(names: impl Iterator<Item = String>) -> Result<HashMap<String, String>> {
    let declared = ENVIRONMENT.map(|(name, _)| name);
    let of_a_section = |name: &str| {
        let sections =
            ["OFFLINE__", "ONLINE__", "REGISTRY__", "LINEAGE__", "SERVER__", "CLIENT__", "SQL__", "TELEMETRY__"];
        name.strip_prefix("HITHERTO_").is_some_and(|rest| sections.iter().any(|section| rest.starts_with(section)))
    };
    let mut found = HashMap::new();
    for name in names {
        if declared.contains(&name.as_str()) {
            let value = std::env::var(&name).with_context(|| format!("{name} is no text"))?;
            if !["HITHERTO_ACTOR", "HITHERTO_LOG", "HITHERTO_TOKEN"].contains(&name.as_str()) {
                found.insert(name, value);
            }
        } else if of_a_section(&name) {
            let near = hitherto_core::did_you_mean(&name, declared);
            let hint = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            bail!("the environment sets {name}, which means nothing{hint}");
        }
    }
    Ok(found)
}

/// Who runs this, as far as the environment tells.
fn actor() -> String {
    let told = ["HITHERTO_ACTOR", "USER"].iter().filter_map(|name| std::env::var(name).ok());
    told.map(|who| who.trim().to_owned()).find(|who| !who.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The nearest `hitherto.toml` or `.hitherto`, from `folder` upward.
fn nearest(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find_map(|ancestor| {
        let file = ancestor.join("hitherto.toml");
        let home = ancestor.join(".hitherto");
        if file.is_file() { Some(file) } else { home.is_dir().then_some(home) }
    })
}
