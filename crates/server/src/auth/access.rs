//! The tokens that the server knows, and whether one of them lets a caller in.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use hitherto_core::{ApiToken, Bearer, Name, Role, ScramVerifier, Timestamp, TokenId};
use hitherto_engine::Clock;
use hitherto_registry::Registry;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::log_limit::LogLimit;
use super::refusal::{Reason, Refused};
use crate::options::Auth;

/// Whoever has shown a token that counts.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) id: TokenId,
    pub(crate) name: Name,
    pub(crate) role: Role,
}

/// Who is let in. Reading takes no lock: the tokens are swapped whole when the registry has changed.
#[derive(Debug)]
pub(crate) struct Access {
    auth: Auth,
    clock: Clock,
    tokens: ArcSwap<Tokens>,
    /// Decides what strangers are shown by SCRAM, so that they do not learn which ids there are.
    seed: Uuid,
    pub(super) log_limit: LogLimit,
}

/// The registry's tokens at one revision.
#[derive(Debug, Default)]
struct Tokens {
    revision: Option<i64>,
    by_id: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    caller: Arc<Caller>,
    /// SHA-256, in hex. None equals one that is not of this length.
    secret_hash: String,
    scram: Option<ScramVerifier>,
    expires_at: Option<Timestamp>,
    is_revoked: bool,
}

impl Access {
    /// Nobody is known before [`Access::refresh`].
    pub(crate) fn new(auth: Auth, clock: Clock) -> Self {
        Self { auth, clock, tokens: ArcSwap::default(), seed: Uuid::new_v4(), log_limit: LogLimit::default() }
    }

    /// Whether callers must show a token.
    pub(crate) fn is_guarded(&self) -> bool {
        self.auth == Auth::Token
    }

    /// How many tokens count now.
    pub(crate) fn valid_tokens(&self) -> usize {
        let now = self.clock.now();
        self.tokens.load().by_id.values().filter(|known| known.problem(now).is_none()).count()
    }

    /// Reads the tokens anew if the registry has changed. Where that fails, those that are known go on counting until they
    /// expire.
    pub(crate) async fn refresh(&self, registry: &dyn Registry) -> Result<(), hitherto_registry::Error> {
        if !self.is_guarded() {
            return Ok(());
        }
        // asked for first: what changes in between is read once too often, never too seldom
        let revision = Some(registry.revision().await?);
        if self.tokens.load().revision != revision {
            let by_id = registry.tokens().await?.into_iter().map(Known::entry).collect();
            self.tokens.store(Arc::new(Tokens { revision, by_id }));
        }
        Ok(())
    }

    /// The caller who sent these headers, if its token counts and gives `role`.
    pub(crate) fn admit(&self, headers: &HeaderMap, role: Role) -> Result<Arc<Caller>, Refused> {
        let text = bearer_of(headers).ok_or(Refused::stranger(Reason::Missing))?;
        let bearer = Bearer::parse(text).ok_or(Refused::stranger(Reason::Unknown))?;
        let tokens = self.tokens.load();
        let known = tokens.by_id.get(bearer.id).filter(|known| known.is_shown_by(&bearer));
        // an id alone is no more than a guess: that it is known is not told
        let known = known.ok_or(Refused::stranger(Reason::Unknown))?;
        let caller = Arc::clone(&known.caller);
        if let Some(reason) = known.problem(self.clock.now()) {
            return Err(Refused::known(reason, caller));
        }
        if caller.role < role { Err(Refused::known(Reason::Role, caller)) } else { Ok(caller) }
    }

    /// What judges whoever calls itself `id` by SCRAM. Of an id that is not known, or that was given before tokens had it, nothing
    /// can be proven.
    pub(crate) fn scram(&self, id: &str) -> ScramVerifier {
        let tokens = self.tokens.load();
        let known = tokens.by_id.get(id).and_then(|known| known.scram.clone());
        known.unwrap_or_else(|| ScramVerifier::of_nobody(&format!("{}{id}", self.seed)))
    }

    /// The caller who has proven to know the whole token `id`, if it counts.
    pub(crate) fn admit_proven(&self, id: &str, role: Role) -> Result<Arc<Caller>, Refused> {
        let tokens = self.tokens.load();
        let known = tokens.by_id.get(id).ok_or(Refused::stranger(Reason::Unknown))?;
        let caller = Arc::clone(&known.caller);
        match known.problem(self.clock.now()) {
            Some(reason) => Err(Refused::known(reason, caller)),
            None if caller.role < role => Err(Refused::known(Reason::Role, caller)),
            None => Ok(caller),
        }
    }

    /// Whether a caller who was let in would still be.
    pub(crate) fn still_admits(&self, caller: &Arc<Caller>) -> Result<(), Refused> {
        let tokens = self.tokens.load();
        let known = tokens.by_id.get(caller.id.as_str());
        match known.map_or(Some(Reason::Unknown), |known| known.problem(self.clock.now())) {
            Some(reason) => Err(Refused::known(reason, Arc::clone(caller))),
            None => Ok(()),
        }
    }
}

impl Known {
    fn entry(token: ApiToken) -> (String, Self) {
        let ApiToken { id, name, role, secret_hash, scram, expires_at, revoked, .. } = token;
        let key = id.as_str().to_owned();
        let caller = Arc::new(Caller { id, name, role });
        (key, Self { caller, secret_hash, scram, expires_at, is_revoked: revoked.is_some() })
    }

    /// Compares in the same time wherever two hashes differ.
    fn is_shown_by(&self, bearer: &Bearer<'_>) -> bool {
        bearer.secret_hash().as_bytes().ct_eq(self.secret_hash.as_bytes()).into()
    }

    fn problem(&self, now: Timestamp) -> Option<Reason> {
        if self.is_revoked {
            return Some(Reason::Revoked);
        }
        self.expires_at.is_some_and(|end| end <= now).then_some(Reason::Expired)
    }
}

/// What follows `Bearer` in the one `authorization` header.
fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use hitherto_core::NewApiToken;

    use super::*;

    const NOW: Timestamp = Timestamp(100);

    fn token(byte: u8, role: Role, expires_at: Option<Timestamp>) -> (ApiToken, String) {
        let (id, secret) = (TokenId::from_bytes([byte; 6]), [byte; 32]);
        let name = "etl".parse().expect("a name");
        let text = Bearer::text(&id, secret);
        let secret_hash = Bearer::parse(&text).expect("a token").secret_hash();
        let scram = ScramVerifier::new(&text, [byte; 16]);
        (NewApiToken { id, name, role, secret_hash, scram, expires_at }.created(Timestamp(1), "ada"), text)
    }

    fn knowing(tokens: impl IntoIterator<Item = ApiToken>) -> Access {
        let access = Access::new(Auth::Token, Clock::Frozen(NOW));
        let by_id = tokens.into_iter().map(Known::entry).collect();
        access.tokens.store(Arc::new(Tokens { revision: Some(1), by_id }));
        access
    }

    fn showing(value: &str) -> HeaderMap {
        [(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"))].into_iter().collect()
    }

    fn reason(access: &Access, headers: &HeaderMap, role: Role) -> Option<Reason> {
        access.admit(headers, role).err().map(|refused| refused.reason)
    }

    #[test]
    fn a_token_lets_in_up_to_its_role() {
        let (writer, text) = token(1, Role::Writer, None);
        let access = knowing([writer]);
        for spelt in [format!("Bearer {text}"), format!("bearer {text}"), format!("BEARER  {text} ")] {
            let headers = showing(&spelt);
            assert_eq!(reason(&access, &headers, Role::Reader), None);
            assert_eq!(reason(&access, &headers, Role::Writer), None);
            assert_eq!(reason(&access, &headers, Role::Admin), Some(Reason::Role));
        }
        let caller = access.admit(&showing(&format!("Bearer {text}")), Role::Reader).expect("let in");
        assert_eq!((caller.id.as_str(), caller.name.as_str()), ("010101010101", "etl"));
    }

    #[test]
    fn what_is_no_token_of_ours_is_refused() {
        let (reader, text) = token(1, Role::Reader, None);
        let access = knowing([reader]);
        let (_, foreign) = token(2, Role::Admin, None);
        let guessed = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
        let cut = &text[..text.len() - 1];
        for (value, expected) in [
            (text.clone(), Reason::Missing),
            (format!("Basic {text}"), Reason::Missing),
            ("Bearer".to_owned(), Reason::Missing),
            ("Bearer ".to_owned(), Reason::Unknown),
            (format!("Bearer {cut}"), Reason::Unknown),
            (format!("Bearer {foreign}"), Reason::Unknown),
            (format!("Bearer {guessed}"), Reason::Unknown),
        ] {
            assert_eq!(reason(&access, &showing(&value), Role::Reader), Some(expected), "{value}");
        }
        assert_eq!(reason(&access, &HeaderMap::new(), Role::Reader), Some(Reason::Missing));
        let mut twice = showing(&format!("Bearer {text}"));
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(
            reason(&access, &twice, Role::Reader),
            Some(Reason::Missing),
            "which of two counts is nobody's guess"
        );
    }

    #[test]
    fn by_scram_a_stranger_does_not_learn_which_ids_there_are() {
        let (reader, text) = token(1, Role::Reader, None);
        let access = knowing([reader.clone(), ApiToken { scram: None, id: TokenId::from_bytes([2; 6]), ..reader }]);
        assert_eq!(access.scram("010101010101"), ScramVerifier::new(&text, [1; 16]));
        for unknown in ["020202020202", "030303030303", "postgres"] {
            let shown = access.scram(unknown);
            assert_eq!((shown.salt().len(), shown.iterations()), (16, access.scram("010101010101").iterations()));
            assert_eq!(shown, access.scram(unknown), "{unknown} looks the same when it is tried again");
        }
        let admitted = |id: &str, role| access.admit_proven(id, role).map(|caller| caller.name.to_string());
        assert_eq!(admitted("010101010101", Role::Reader).expect("it counts"), "etl");
        let refused = [("postgres", Role::Reader), ("010101010101", Role::Admin)];
        let reasons = refused.map(|(id, role)| admitted(id, role).err().map(|refused| refused.reason));
        assert_eq!(reasons, [Some(Reason::Unknown), Some(Reason::Role)]);
    }

    #[test]
    fn what_has_ended_is_refused_and_cuts_whoever_was_let_in() {
        let (mut token, text) = token(1, Role::Reader, Some(Timestamp(101)));
        let headers = showing(&format!("Bearer {text}"));
        let caller = knowing([token.clone()]).admit(&headers, Role::Reader).expect("it counts yet");
        token.expires_at = Some(NOW);
        let expired = knowing([token.clone()]);
        assert_eq!(reason(&expired, &headers, Role::Reader), Some(Reason::Expired));
        assert_eq!(expired.still_admits(&caller).err().map(|refused| refused.reason), Some(Reason::Expired));
        assert_eq!(expired.valid_tokens(), 0);
        token.revoked = Some((NOW, "ada".to_owned()));
        let revoked = knowing([token]);
        assert_eq!(reason(&revoked, &headers, Role::Reader), Some(Reason::Revoked));
        assert_eq!(revoked.still_admits(&caller).err().map(|refused| refused.reason), Some(Reason::Revoked));
        assert_eq!(knowing([]).still_admits(&caller).err().map(|refused| refused.reason), Some(Reason::Unknown));
    }
}
