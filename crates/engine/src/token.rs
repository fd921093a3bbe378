//! API tokens: created, revoked.

use std::fmt;

use hitherto_core::{ApiToken, Bearer, Name, NewApiToken, Role, ScramVerifier, Span, TokenId, digest};

use crate::{Engine, Error, Result};

/// A token that was just created, with what its bearer must show. It is nowhere else, and cannot be had again.
pub struct IssuedToken {
    /// The token as it is remembered.
    pub token: ApiToken,
    /// What its bearer must show: the secret is in it.
    pub text: String,
}

/// Without the secret.
impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Engine {
    /// The same stores for somebody else: the audit log calls whoever changes the registry through this `actor`.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        self.with_registry(self.registry().acting_as(actor))
    }

    /// Create a token of `name` with 256 random bits of the operating system for its secret. It counts for `lifetime`, or
    /// for ever.
    pub async fn create_token(&self, name: Name, role: Role, lifetime: Option<Span>) -> Result<IssuedToken> {
        if lifetime.is_some_and(Span::is_zero) {
            return Err(Error::Invalid(format!(
                "a token of '{name}' that lasts 0s has expired before it is used: give it longer, such as 90d"
            )));
        }
        let now = self.clock().now();
        let id = TokenId::from_bytes(random()?);
        let secret: [u8; 32] = random()?;
        let text = Bearer::text(&id, secret);
        let new = NewApiToken {
            id,
            name,
            role,
            secret_hash: digest(hex::encode(secret)),
            scram: ScramVerifier::new(&text, random()?),
            expires_at: lifetime.map(|lifetime| now.saturating_add(lifetime)),
        };
        let token = self.registry().create_token(new, now).await?;
        self.anchor().await;
        Ok(IssuedToken { token, text })
    }

    /// Revoke a token for ever. Servers refuse it as soon as they look at the registry again: within a second or two.
    pub async fn revoke_token(&self, id: &TokenId) -> Result<ApiToken> {
        let token = self.registry().revoke_token(id, self.clock().now()).await?;
        self.anchor().await;
        Ok(token)
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|source| Error::internal("could not draw random bytes from the operating system", source))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use hitherto_offline::OfflineStore;

    use super::*;
    use crate::Clock;

    #[tokio::test]
    async fn what_is_shown_hashes_to_what_is_kept_and_no_two_are_alike() {
        let folder = tempfile::tempdir().expect("a folder");
        let project: Name = "p".parse().expect("a name");
        let url = |place: &str| format!("{}/{place}", folder.path().display());
        let registry = hitherto_registry::open(&format!("sqlite://{}", url("registry.db")), &project).await;
        let offline = OfflineStore::open(&format!("file://{}", url("offline")), [("", ""); 0]).expect("a store");
        let now = hitherto_core::Timestamp(1_000);
        let engine = Engine::new(project.clone(), registry.expect("a registry"), offline, None, Clock::Frozen(now));
        let hour: Span = "1h".parse().expect("a span");
        let [one, two] = [
            engine.acting_as("ada").create_token(project.clone(), Role::Reader, Some(hour)).await.expect("created"),
            engine.create_token(project.clone(), Role::Admin, None).await.expect("created"),
        ];
        for issued in [&one, &two] {
            let bearer = Bearer::parse(&issued.text).expect("a token");
            assert_eq!((bearer.id, bearer.secret_hash()), (issued.token.id.as_str(), issued.token.secret_hash.clone()));
            let secret = issued.text.rsplit('_').next().expect("a secret");
            assert!(!format!("{issued:?}").contains(secret), "{issued:?}");
            let salt = issued.token.scram.as_ref().expect("a verifier").salt().to_vec();
            let again = ScramVerifier::new(&issued.text, salt.try_into().expect("16 bytes"));
            assert_eq!(issued.token.scram, Some(again), "the password is the whole token");
        }
        assert_ne!((&one.token.id, &one.token.secret_hash), (&two.token.id, &two.token.secret_hash));
        assert_eq!((one.token.created_by.as_str(), one.token.expires_at), ("ada", Some(now.saturating_add(hour))));
        assert_eq!((two.token.created_by.as_str(), two.token.expires_at), ("unknown", None));
        engine.revoke_token(&one.token.id).await.expect("revoked");
        let states: Vec<bool> =
            engine.registry().tokens().await.expect("reads").iter().map(|token| token.revoked.is_some()).collect();
        assert_eq!(states, [true, false]);
        let none = engine.create_token(project, Role::Reader, Some(Span::ZERO)).await.expect_err("it has no life");
        assert!(none.to_string().contains("lasts 0s"), "{none}");
    }
}
