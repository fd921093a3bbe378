//! Urls of Redis: which servers, how they stand to each other, and who asks.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use crate::{Error, Location, Result};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A host and its port.
pub(super) type Host = (String, u16);

/// What a url says.
pub(super) struct Address {
    pub(super) kind: Kind,
    /// Whether connections are encrypted.
    pub(super) is_tls: bool,
    /// User, password and database.
    pub(super) settings: RedisConnectionInfo,
}

/// How the servers stand to each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One server.
    Server(Host),
    /// One server, by a socket of this machine.
    Socket(PathBuf),
    /// The master that Sentinels know by a name.
    Sentinels { sentinels: Vec<Host>, master: String },
    /// The servers of a cluster, some of which are named.
    Cluster(Vec<Host>),
}

impl Address {
    /// Reads the url; no message quotes any of it.
    pub(super) fn parse(location: &Location) -> Result<Self> {
        let (scheme, rest) = location.url.split_once("://").ok_or_else(|| wrong("it has no '://'"))?;
        let (family, is_tls) = match scheme {
            "redis+unix" => return socket(location),
            "redis" | "redis-sentinel" | "redis-cluster" => (scheme, false),
            "rediss" | "rediss-sentinel" | "rediss-cluster" => (scheme, true),
            other => return Err(Error::Scheme { scheme: other.to_owned() }),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("it has a query or a fragment, which mean nothing here; write ? and # as %3F and %23"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let default_port = if family.ends_with("-sentinel") { SENTINEL_PORT } else { PORT };
        let hosts = hosts.split(',').map(|text| host(text, default_port)).collect::<Result<Vec<_>>>()?;
        let (kind, db) = match family.trim_start_matches("rediss").trim_start_matches("redis") {
            "-sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                let master = decoded(master)?;
                if master.is_empty() {
                    return Err(wrong("it does not name the master: redis-sentinel://host:26379,host:26379/NAME"));
                }
                (Kind::Sentinels { sentinels: hosts, master }, database(db)?)
            }
            "-cluster" => match database(path)? {
                0 => (Kind::Cluster(hosts), 0),
                _ => return Err(wrong("a cluster has the database 0 alone")),
            },
            _ => match <[Host; 1]>::try_from(hosts) {
                Ok([host]) => (Kind::Server(host), database(path)?),
                Err(_) => return Err(wrong("it names several hosts: write redis-cluster:// or redis-sentinel://")),
            },
        };
        let settings = with_user(RedisConnectionInfo::default().set_db(db), user, location.password.as_deref())?;
        Ok(Self { kind, is_tls, settings })
    }

    /// Which Redis this is, for messages.
    pub(super) fn name(&self) -> String {
        let list = |hosts: &[Host]| {
            let hosts: Vec<String> = hosts.iter().map(written).collect();
            hosts.join(", ")
        };
        let db = self.settings.db();
        match &self.kind {
            Kind::Server(host) => format!("redis at {}/{db}", written(host)),
            Kind::Socket(path) => format!("redis at {}/{db}", path.display()),
            Kind::Sentinels { sentinels, master } => {
                format!("redis {master}/{db} of the Sentinels at {}", list(sentinels))
            }
            Kind::Cluster(seeds) => format!("redis cluster at {}", list(seeds)),
        }
    }
}

/// A host and port as one writes them.
pub(super) fn written((host, port): &Host) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A host and port from how a server writes them: `127.0.0.1:6379`, `::1:6379`.
pub(super) fn read(text: &str) -> Option<Host> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.parse().ok()?))
}

fn host(text: &str, default_port: u16) -> Result<Host> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| wrong("it has a [ without its ]"))?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")).unwrap_or("?"))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, port),
            None => (text, ""),
        },
    };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:%".contains(&byte)) {
        return Err(wrong("it names a host that cannot be one"));
    }
    let port = if port.is_empty() { Ok(default_port) } else { port.parse() };
    Ok((host.to_owned(), port.map_err(|_| wrong("it has a port that is none"))?))
}

fn database(path: &str) -> Result<i64> {
    match path.trim_end_matches('/') {
        "" => Ok(0),
        path => path.parse().map_err(|_| wrong("its database is no number")),
    }
}

fn with_user(settings: RedisConnectionInfo, user: &str, password: Option<&str>) -> Result<RedisConnectionInfo> {
    let (user, own) = user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
    let own = own.map(decoded).transpose()?.filter(|password| !password.is_empty());
    let password = match (own, password) {
        (Some(_), Some(_)) => return Err(wrong("it has a password, and so has online.password: which one counts?")),
        (own, password) => own.or(password.map(ToOwned::to_owned)),
    };
    let user = decoded(user)?;
    let settings = match (user.is_empty(), &password) {
        (false, None) => {
            return Err(wrong("it names a user and no password: set online.password or online.password_file"));
        }
        (false, Some(_)) => settings.set_username(user),
        (true, _) => settings,
    };
    Ok(password.into_iter().fold(settings, RedisConnectionInfo::set_password))
}

fn decoded(text: &str) -> Result<String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| wrong("a part of it is not UTF-8"))?;
    Ok(text.into_owned())
}

/// A socket's url is read by the library: `redis+unix:///path?db=1&user=ann&pass=…`.
fn socket(location: &Location) -> Result<Address> {
    let info = location.url.as_str().into_connection_info();
    let info = info.map_err(|_| wrong("it is not a url of a Redis server"))?;
    let ConnectionAddr::Unix(path) = info.addr() else {
        return Err(wrong("it is not a url of a Redis server"));
    };
    let settings = match &location.password {
        Some(password) => info.redis_settings().clone().set_password(password),
        None => info.redis_settings().clone(),
    };
    Ok(Address { kind: Kind::Socket(path.clone()), is_tls: false, settings })
}

fn wrong(problem: &str) -> Error {
    Error::Url { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Address> {
        Address::parse(&url.into())
    }

    fn at(host: &str, port: u16) -> Host {
        (host.to_owned(), port)
    }

    #[test]
    fn urls_say_which_servers_and_who_asks() {
        let one = parsed("redis://a%3An:p%40w@h:1/3").expect("a url");
        let settings = (one.settings.username(), one.settings.password(), one.settings.db());
        assert_eq!((one.kind, one.is_tls, settings), (Kind::Server(at("h", 1)), false, (Some("a:n"), Some("p@w"), 3)));
        let one = parsed("rediss://:p@[::1]").expect("a url");
        assert_eq!((one.name().as_str(), one.is_tls), ("redis at [::1]:6379/0", true));
        assert_eq!((one.settings.username(), one.settings.password()), (None, Some("p")));
        let one = parsed("redis-cluster://a,b:7000,[::2]:7001").expect("a url");
        assert_eq!(one.name(), "redis cluster at a:6379, b:7000, [::2]:7001");
        let one = parsed("rediss-sentinel://a,b:1/main/2").expect("a url");
        let sentinels = vec![at("a", 26379), at("b", 1)];
        assert_eq!(one.name(), "redis main/2 of the Sentinels at a:26379, b:1");
        assert_eq!((one.kind, one.is_tls), (Kind::Sentinels { sentinels, master: "main".to_owned() }, true));
        let one = parsed("redis+unix:///run/redis.sock?db=1").expect("a url");
        assert_eq!(one.name(), "redis at /run/redis.sock/1");
        assert_eq!(read("::1:7000"), Some(at("::1", 7000)));
        assert_eq!(read("h"), None);
    }

    #[test]
    fn a_password_beside_the_url_is_its_users() {
        let location = |url: &str| Location { password: Some("w".to_owned()), ..url.into() };
        for url in ["redis://ann@h", "redis-cluster://ann@h,i", "redis-sentinel://ann@h/m"] {
            let settings = Address::parse(&location(url)).expect("a url").settings;
            assert_eq!((settings.username(), settings.password()), (Some("ann"), Some("w")), "{url}");
        }
        assert_eq!(Address::parse(&location("redis://h")).expect("a url").settings.password(), Some("w"));
        let error = Address::parse(&location("redis://:x@h")).err().expect("two passwords");
        assert!(error.to_string().contains("which one counts"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_is_quoted() {
        for (url, problem) in [
            ("redis://secret@h", "online.password_file"),
            ("redis://:secret@h,i", "redis-cluster://"),
            ("redis-sentinel://:secret@h", "does not name the master"),
            ("redis-cluster://:secret@h/1", "database 0 alone"),
            ("redis://:secret@h/x", "no number"),
            ("redis://:secret@h:port", "a port that is none"),
            ("redis://:secret@[bad", "without its ]"),
            ("redis://:secret@", "cannot be one"),
            ("rediss://:secret@h/0#insecure", "a fragment"),
            ("redis://:secret%ff@h", "not UTF-8"),
            ("redis+unix:///s?db=secret", "not a url"),
        ] {
            let message = parsed(url).err().expect(url).to_string();
            assert!(message.contains(problem) && !message.contains("secret"), "{url}: {message}");
        }
    }
}
