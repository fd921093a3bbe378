//! API tokens: who may call a server, and in which role.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::digest;
use crate::{Name, ScramVerifier, Timestamp};

/// What a token begins with, so that people and scanners of secrets know it for what it is.
const PREFIX: &str = "hth_";

/// What the bearer of a token may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads: features, definitions, models, training sets, SQL.
    Reader,
    /// Adds rows, model versions and moves of aliases as well.
    Writer,
    /// Changes definitions as well.
    Admin,
}

impl Role {
    /// Every role, from the least to the greatest.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Writer, Self::Admin];

    /// As people and the registry write it: `reader`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| TokenError::Role(text.to_owned()))
    }
}

/// Which token: 12 hexadecimal digits. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// The id that these bytes are.
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id, or the id of a whole token.
impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let id = Bearer::parse(text).map_or(text, |bearer| bearer.id);
        if is_hex(id, 12) { Ok(Self(id.to_owned())) } else { Err(TokenError::Id) }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A token as its bearer shows it: `hth_<id>_<secret>`, the secret 64 hexadecimal digits of randomness.
#[derive(Clone, Copy)]
pub struct Bearer<'a> {
    /// Which token.
    pub id: &'a str,
    secret: &'a str,
}

impl<'a> Bearer<'a> {
    /// None of a text that is no token.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        (is_hex(id, 12) && is_hex(secret, 64)).then_some(Self { id, secret })
    }

    /// SHA-256, in hex, of the secret: what is kept of it.
    pub fn secret_hash(&self) -> String {
        digest(self.secret)
    }

    /// The whole token, with `secret` for its secret.
    pub fn text(id: &TokenId, secret: [u8; 32]) -> String {
        format!("{PREFIX}{id}_{}", hex::encode(secret))
    }
}

/// Without the secret.
impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiToken {
    /// Its id.
    pub id: TokenId,
    /// Whose it is: what its bearer does is told under this name. Several tokens may have one name.
    pub name: Name,
    /// What its bearer may do.
    pub role: Role,
    /// SHA-256, in hex, of its secret.
    pub secret_hash: String,
    /// What judges the whole token where it is shown by SCRAM.
    pub scram: ScramVerifier,
    /// From when on it counts no more; none for never.
    pub expires_at: Option<Timestamp>,
}

/// A token as the registry remembers it. Nothing of it changes but that it is revoked, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub name: Name,
    /// What its bearer may do.
    pub role: Role,
    /// SHA-256, in hex, of its secret.
    pub secret_hash: String,
    /// What judges the whole token where it is shown by SCRAM; none of a token from before there was any.
    pub scram: Option<ScramVerifier>,
    /// When it was created.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// From when on it counts no more; none for never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, and by whom.
    pub revoked: Option<(Timestamp, String)>,
}

impl ApiToken {
    /// Whether it has expired at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl NewApiToken {
    /// The token that it becomes.
    pub fn created(self, at: Timestamp, by: &str) -> ApiToken {
        let Self { id, name, role, secret_hash, scram, expires_at } = self;
        let (scram, created_by) = (Some(scram), by.to_owned());
        ApiToken { id, name, role, secret_hash, scram, created_at: at, created_by, expires_at, revoked: None }
    }
}

/// A text that names no role or no token. It does not repeat what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No role.
    #[error("'{0}' is no role: use reader, writer or admin")]
    Role(String),
    /// No id.
    #[error("this is no token's id: it has 12 hexadecimal digits, as `hitherto token list` shows them")]
    Id,
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_parsed_as_it_was_written() {
        let id = TokenId::from_bytes([0, 1, 2, 0xab, 0xcd, 0xef]);
        let text = Bearer::text(&id, [7; 32]);
        assert_eq!(text, format!("hth_000102abcdef_{}", "07".repeat(32)));
        let bearer = Bearer::parse(&text).expect("a token");
        assert_eq!(bearer.id, id.as_str());
        assert_eq!(bearer.secret_hash(), digest("07".repeat(32)));
        assert!(!format!("{bearer:?}").contains("0707"), "{bearer:?}");
        assert_eq!(text.parse::<TokenId>(), Ok(id.clone()), "a whole token names its id");
        assert_eq!(id.as_str().parse::<TokenId>(), Ok(id));
    }

    #[test]
    fn what_is_no_token_is_told_without_repeating_it() {
        let secret = "ab".repeat(32);
        for text in [
            String::new(),
            "hth_".to_owned(),
            secret.clone(),
            format!("hth_{secret}"),
            format!("hth_000102abcdef_{secret}0"),
            format!("hth_000102abcde_{secret}"),
            format!("hth_000102ABCDEF_{secret}"),
            format!("hth_000102abcdef_{}", "ä".repeat(32)),
            format!("xth_000102abcdef_{secret}"),
        ] {
            assert!(Bearer::parse(&text).is_none(), "{text}");
            let error = text.parse::<TokenId>().expect_err("no id").to_string();
            assert!(text.is_empty() || !error.contains(&text), "{error}");
        }
    }

    #[test]
    fn roles_are_ordered_and_read_back() {
        assert!(Role::Reader < Role::Writer && Role::Writer < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        let error = "root".parse::<Role>().expect_err("no role");
        assert_eq!(error.to_string(), "'root' is no role: use reader, writer or admin");
    }

    #[test]
    fn a_token_counts_up_to_its_end() {
        let new = NewApiToken {
            id: TokenId::from_bytes([0; 6]),
            name: "etl".parse().expect("a name"),
            role: Role::Reader,
            secret_hash: String::new(),
            scram: ScramVerifier::of_nobody("etl"),
            expires_at: Some(Timestamp(5)),
        };
        let token = new.created(Timestamp(1), "ada");
        assert!(!token.is_expired(Timestamp(4)) && token.is_expired(Timestamp(5)));
        let endless = ApiToken { expires_at: None, ..token };
        assert!(!endless.is_expired(Timestamp(i64::MAX)));
    }
}
