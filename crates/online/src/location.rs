//! Where an online store is, and what opens it.

use std::fmt;

/// A store's url, and the secrets that are better kept out of one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// The url. May hold a password: never print it.
    pub url: String,
    /// The password of the url's user, where the url has none.
    pub password: Option<String>,
    /// Whom to trust, and who we are, for `rediss://` and its kin.
    pub tls: Tls,
}

/// Certificates and keys, as the PEM text of their files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may have signed the servers' certificates; those whom the machine trusts unless set.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate and its key, for servers that ask for one.
    pub identity: Option<Identity>,
}

/// A certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by those between it and the authority.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl From<&str> for Location {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }
}

impl From<&String> for Location {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, identity } = self;
        f.debug_struct("Tls").field("ca", &ca.is_some()).field("identity", &identity.is_some()).finish()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let identity = Identity { cert: b"secret".to_vec(), key: b"secret".to_vec() };
        let tls = Tls { ca: Some(b"secret".to_vec()), identity: Some(identity) };
        let location = Location { tls, password: Some("secret".to_owned()), ..Location::from("redis://:secret@h") };
        assert_eq!(format!("{location:?}"), "Location { tls: Tls { ca: true, identity: true }, .. }");
    }
}
