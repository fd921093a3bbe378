//! What is configured of TLS and tokens: of the server that listens here, and of the client that calls one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hitherto_client::Credentials;
use hitherto_server::{Auth, ClientAuth, TlsOptions};
use serde::Deserialize;

/// `server.auth`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthWord {
    #[default]
    None,
    Token,
}

impl From<AuthWord> for Auth {
    fn from(word: AuthWord) -> Self {
        match word {
            AuthWord::None => Self::None,
            AuthWord::Token => Self::Token,
        }
    }
}

/// `[server.tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenTls {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_auth: Option<ClientAuthWord>,
}

/// `server.tls.client_auth`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClientAuthWord {
    None,
    Optional,
    Required,
}

impl WrittenTls {
    /// Files are found from `base`. Who names roots and nothing else wants certificates.
    pub(crate) fn resolve(self, base: &Path) -> Result<TlsOptions> {
        let client = match (self.client_auth, self.client_ca) {
            (Some(ClientAuthWord::None) | None, None) | (Some(ClientAuthWord::None), Some(_)) => ClientAuth::None,
            (Some(ClientAuthWord::Optional), Some(roots)) => ClientAuth::Optional(base.join(roots)),
            (Some(ClientAuthWord::Required) | None, Some(roots)) => ClientAuth::Required(base.join(roots)),
            (Some(ClientAuthWord::Optional | ClientAuthWord::Required), None) => {
                bail!("server.tls has client_auth and no client_ca: which roots vouch for clients?")
            }
        };
        Ok(TlsOptions { cert: base.join(self.cert), key: base.join(self.key), client })
    }
}

/// `[client]`: files that a call of a server needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientFiles {
    /// An API token.
    pub token_file: Option<PathBuf>,
    /// Roots that vouch for the server, in PEM, instead of the machine's.
    pub ca: Option<PathBuf>,
    /// A certificate for a server that asks for one, in PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
}

impl ClientFiles {
    /// The same, with files found from `base`.
    pub(crate) fn resolve(self, base: &Path) -> Self {
        let resolve = |file: Option<PathBuf>| file.map(|file| base.join(file));
        Self {
            token_file: resolve(self.token_file),
            ca: resolve(self.ca),
            cert: resolve(self.cert),
            key: resolve(self.key),
        }
    }

    /// What to show and whom to believe. A token in HITHERTO_TOKEN counts before that of the configured file, and a flag before
    /// both: `flag` is its file.
    pub(crate) fn credentials(&self, flag: Option<PathBuf>, ca: Option<PathBuf>) -> Result<Credentials> {
        let read = |file: &Path, what: &str| {
            std::fs::read(file).with_context(|| format!("could not read the {what} {}", file.display()))
        };
        let read_token = |file: &Path| -> Result<String> {
            let bytes = read(file, "token file")?;
            // its text is a secret: an error must not repeat it
            let text = String::from_utf8(bytes).ok().with_context(|| format!("{} is no text", file.display()))?;
            Ok(text.trim().to_owned())
        };
        let told = std::env::var("HITHERTO_TOKEN").ok().filter(|token| !token.trim().is_empty());
        let token = match (flag, told, &self.token_file) {
            (Some(file), ..) => Some(read_token(&file)?),
            (None, Some(token), _) => Some(token),
            (None, None, Some(file)) => Some(read_token(file)?),
            (None, None, None) => None,
        };
        let ca = ca.as_deref().or(self.ca.as_deref()).map(|file| read(file, "roots")).transpose()?;
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read(cert, "certificate")?, read(key, "key")?)),
            (None, None) => None,
            _ => bail!("[client] has one of cert and key: a certificate is of no use without its key"),
        };
        Ok(Credentials { token, ca, identity })
    }
}
