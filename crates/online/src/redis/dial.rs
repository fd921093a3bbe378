//! Making connections: with which user and certificates, how patiently, and what a server must be like.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates,
};

use super::address::Host;
use super::failure::Failure;
use crate::{Error, Result, Tls};

/// What a url expects of the servers that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A server of its own.
    Server,
    /// The master that Sentinels have named.
    Master,
    /// A node of a cluster.
    Node,
}

/// How connections are made.
pub(super) struct Dial {
    settings: RedisConnectionInfo,
    certificates: Option<TlsCertificates>,
    config: AsyncConnectionConfig,
    expected: Expected,
}

/// A connection, and the run of the server at its other end. It lasts no longer than that run.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    /// The server's id of its run; empty where nobody may know it.
    pub(super) server: String,
}

impl Dial {
    /// Connections of `settings`, whose answers are waited for so long; encrypted if `tls` says whom to trust.
    pub(super) fn new(
        settings: RedisConnectionInfo,
        tls: Option<&Tls>,
        expected: Expected,
        patience: Duration,
    ) -> Result<Self> {
        let certificates = tls.map(certificates).transpose()?;
        // one quick attempt: a caller would rather hear that Redis is down than wait for it
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(patience))
            .set_pipeline_buffer_size(1000);
        let dial = Self { settings, certificates, config, expected };
        // what is wrong with certificates is said now, not by the first call
        dial.client(&("localhost".to_owned(), 1), &dial.settings)
            .map_err(|error| Error::Certificates { problem: error.to_string() })?;
        Ok(dial)
    }

    /// Connects to a server and looks whether it is as it must be.
    pub(super) async fn connect(&self, host: &Host) -> Result<Link, Failure> {
        self.greeted(self.client(host, &self.settings)?).await
    }

    /// Connects to a server by a socket of this machine.
    pub(super) async fn connect_socket(&self, path: &std::path::Path) -> Result<Link, Failure> {
        let info = ConnectionAddr::Unix(path.to_owned()).into_connection_info()?;
        self.greeted(Client::open(info.set_redis_settings(self.settings.clone()))?).await
    }

    /// Which master a Sentinel knows by this name; none if it knows none.
    pub(super) async fn ask_sentinel(&self, sentinel: &Host, master: &str) -> Result<Option<Host>, Failure> {
        // most Sentinels have no password; those that have one know the master's, too, so that it is no secret to them
        let named = match self.asked(sentinel, master, &RedisConnectionInfo::default()).await {
            Err(error) if error.code() == Some("NOAUTH") => {
                self.asked(sentinel, master, &self.settings_of_sentinel()).await
            }
            answer => answer,
        };
        Ok(named?)
    }

    async fn asked(
        &self,
        sentinel: &Host,
        master: &str,
        settings: &RedisConnectionInfo,
    ) -> Result<Option<Host>, RedisError> {
        let client = self.client(sentinel, settings)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&self.config).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        command.query_async(&mut connection).await
    }

    fn settings_of_sentinel(&self) -> RedisConnectionInfo {
        self.settings.clone().set_db(0)
    }

    fn client(&self, (host, port): &Host, settings: &RedisConnectionInfo) -> Result<Client, RedisError> {
        let host = host.clone();
        let (addr, certificates) = match &self.certificates {
            Some(certificates) => {
                (ConnectionAddr::TcpTls { host, port: *port, insecure: false, tls_params: None }, Some(certificates))
            }
            None => (ConnectionAddr::Tcp(host, *port), None),
        };
        let info: ConnectionInfo = addr.into_connection_info()?.set_redis_settings(settings.clone());
        match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    async fn greeted(&self, client: Client) -> Result<Link, Failure> {
        let mut connection = client.get_multiplexed_async_connection_with_config(&self.config).await?;
        let info: Option<String> = allowed(redis::cmd("INFO").query_async(&mut connection).await)?;
        let info = info.unwrap_or_default();
        if let Some(problem) = self.unexpected(&info) {
            return Err(Failure::Unfit(problem));
        }
        let policy = match field(&info, "maxmemory_policy") {
            "" => {
                let mut command = redis::cmd("CONFIG");
                command.arg("GET").arg("maxmemory-policy");
                let pair: Option<Vec<String>> = allowed(command.query_async(&mut connection).await)?;
                pair.and_then(|pair| pair.into_iter().nth(1)).unwrap_or_default()
            }
            policy => policy.to_owned(),
        };
        match policy.as_str() {
            "noeviction" => {}
            "" => tracing::warn!(
                "redis does not tell its maxmemory-policy: allow the user INFO or CONFIG GET, or see to noeviction yourself"
            ),
            policy => return Err(Failure::Unfit(evicts(policy))),
        }
        Ok(Link { connection, server: field(&info, "run_id").to_owned() })
    }

    /// What is wrong with a server that says this of itself.
    fn unexpected(&self, info: &str) -> Option<String> {
        let is_master = field(info, "role") != "slave";
        let problem = match (field(info, "redis_mode"), self.expected) {
            ("sentinel", _) => "it is a Sentinel and holds no rows: write redis-sentinel://host:26379/NAME",
            ("cluster", Expected::Server | Expected::Master) => {
                "it is a node of a Redis Cluster: write redis-cluster://host:6379,…"
            }
            ("standalone", Expected::Node) => "it is no node of a Redis Cluster: write redis://host:6379",
            (_, Expected::Master) if !is_master => {
                "the server that the Sentinels name is a replica, as happens during a failover: try again"
            }
            _ => return None,
        };
        Some(problem.to_owned())
    }
}

/// Why a policy that throws keys away is refused.
fn evicts(policy: &str) -> String {
    format!(
        "its maxmemory-policy is {policy}: when memory is full it throws rows away, and nobody would know that they are \
         gone; set maxmemory-policy noeviction"
    )
}

/// An answer, or none where the user may not ask.
fn allowed<T: FromRedisValue>(answer: Result<T, RedisError>) -> Result<Option<T>, RedisError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(None),
        // a command that was renamed away
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A field of what INFO says; empty where it is not there.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    let mut fields = info.lines().filter_map(|line| line.trim().split_once(':'));
    fields.find(|(field, _)| *field == name).map_or("", |(_, value)| value)
}

fn certificates(tls: &Tls) -> Result<TlsCertificates> {
    // of the two providers that are compiled in, the process uses this one unless somebody was first
    drop(rustls::crypto::ring::default_provider().install_default());
    for (what, text) in [("ca", &tls.ca), ("cert", &tls.identity.as_ref().map(|identity| identity.cert.clone()))] {
        if text.as_ref().is_some_and(|text| !String::from_utf8_lossy(text).contains("BEGIN CERTIFICATE")) {
            return Err(Error::Certificates { problem: format!("online.tls.{what} holds no certificate in PEM") });
        }
    }
    let client_tls = tls
        .identity
        .as_ref()
        .map(|identity| ClientTlsConfig { client_cert: identity.cert.clone(), client_key: identity.key.clone() });
    Ok(TlsCertificates { client_tls, root_cert: tls.ca.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn dial(expected: Expected) -> Dial {
        Dial::new(RedisConnectionInfo::default(), None, expected, Duration::from_secs(1)).expect("a dial")
    }

    #[test]
    fn a_server_of_another_kind_is_told_from_ours() {
        let info = |mode: &str, role: &str| format!("# Server\r\nredis_mode:{mode}\r\nrole:{role}\r\n");
        for (expected, mode, role, says) in [
            (Expected::Server, "standalone", "master", None),
            (Expected::Server, "standalone", "slave", None),
            (Expected::Server, "cluster", "master", Some("redis-cluster://")),
            (Expected::Server, "sentinel", "", Some("redis-sentinel://")),
            (Expected::Node, "cluster", "slave", None),
            (Expected::Node, "standalone", "master", Some("redis://")),
            (Expected::Master, "standalone", "master", None),
            (Expected::Master, "standalone", "slave", Some("a replica")),
        ] {
            let problem = dial(expected).unexpected(&info(mode, role));
            let said = problem.as_deref().zip(says).is_some_and(|(problem, says)| problem.contains(says));
            assert_eq!((problem.is_some(), said), (says.is_some(), says.is_some()), "{mode} {role}: {problem:?}");
        }
        assert_eq!(dial(Expected::Node).unexpected(""), None);
    }

    #[test]
    fn fields_are_whole_names() {
        assert_eq!(field("a_run_id:x\r\nrun_id:abc\r\n", "run_id"), "abc");
        assert_eq!(field("maxmemory:0\r\n", "maxmemory_policy"), "");
    }

    #[test]
    fn files_that_are_no_certificates_are_refused_and_not_shown() {
        let refused = |tls: &Tls| {
            let dial = Dial::new(RedisConnectionInfo::default(), Some(tls), Expected::Server, Duration::from_secs(1));
            dial.err().expect("no certificate").to_string()
        };
        let message = refused(&Tls { ca: Some(b"secret".to_vec()), identity: None });
        assert!(message.contains("online.tls.ca") && !message.contains("secret"), "{message}");
        let identity = Some(Identity { cert: b"-----BEGIN CERTIFICATE-----".to_vec(), key: b"secret".to_vec() });
        let message = refused(&Tls { ca: None, identity });
        assert!(!message.contains("secret"), "{message}");
    }
}
