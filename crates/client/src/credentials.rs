//! What a client shows to a server, and what it believes of one.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

use crate::error::first_cause;
use crate::{Error, Result};

/// What a client shows, and which roots it believes. Nothing and the machine's, unless set.
#[derive(Clone, Default)]
pub struct Credentials {
    /// An API token, as `hitherto token create` gave it.
    pub token: Option<String>,
    /// Roots that vouch for the server, in PEM, instead of the machine's.
    pub ca: Option<Vec<u8>>,
    /// A certificate and its private key, both in PEM, for a server that asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Says what there is, and not what it is.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("has_token", &self.token.is_some())
            .field("has_ca", &self.ca.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

impl Credentials {
    /// The header that shows the token. Refused where it would travel in clear to another machine.
    pub(crate) fn authorization(&self, url: &str) -> Result<Option<MetadataValue<Ascii>>> {
        let wrong = |reason: &str| Error::Url { url: url.to_owned(), reason: reason.to_owned() };
        let Some(token) = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        if !is_private(url) {
            return Err(wrong("a token would travel in clear to another machine; use https"));
        }
        let value: Result<MetadataValue<Ascii>, _> = format!("Bearer {token}").parse();
        let mut value = value.map_err(|_| wrong("the token for it has characters that no token has"))?;
        // neither printed nor kept in the tables of HTTP/2
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The endpoint with TLS, if its address asks for that.
    pub(crate) fn apply(&self, endpoint: Endpoint, url: &str) -> Result<Endpoint> {
        if !url.starts_with("https://") {
            return Ok(endpoint);
        }
        let mut tls = match &self.ca {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((cert, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        endpoint
            .tls_config(tls)
            .map_err(|source| Error::Credentials { url: url.to_owned(), reason: first_cause(&source) })
    }
}

/// Whether nobody but this machine can read what is sent there.
fn is_private(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let uri: Option<Uri> = url.parse().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_token() -> Credentials {
        Credentials { token: Some("hth_id_secret\n".to_owned()), ..Credentials::default() }
    }

    #[test]
    fn a_token_is_shown_only_where_nobody_listens() {
        for url in ["https://10.0.0.1:7420", "http://127.0.0.1:7420", "http://[::1]:7420", "http://localhost:7420"] {
            let shown = with_token().authorization(url).expect("it may").expect("a token");
            assert_eq!(shown.to_str().expect("text"), "Bearer hth_id_secret", "{url}");
            assert!(!format!("{shown:?}").contains("secret"), "{shown:?}");
        }
        for url in ["http://10.0.0.1:7420", "http://example.org", "http://127.0.0.1.example.org:7420", "http://[::2]:1"]
        {
            let error = with_token().authorization(url).expect_err("in clear").to_string();
            assert!(error.contains("use https") && !error.contains("secret"), "{error}");
            assert!(Credentials::default().authorization(url).expect("nothing to show").is_none());
        }
    }

    #[test]
    fn nothing_of_them_is_printed() {
        let identity = Some((b"cert".to_vec(), b"secret key".to_vec()));
        let printed = format!("{:?}", Credentials { identity, ..with_token() });
        assert_eq!(printed, "Credentials { has_token: true, has_ca: false, has_identity: true }");
    }
}
