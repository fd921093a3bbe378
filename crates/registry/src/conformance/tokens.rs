//! API tokens.

use hitherto_core::{ApiToken, Kind, NewApiToken, Role, Timestamp};

use super::sample::{NOW, name, token};
use crate::Registry;

pub(super) async fn they_are_created_and_revoked_once(registry: &dyn Registry) {
    assert_eq!(registry.tokens().await.expect("reads"), []);
    let [ada, ben] = [registry.acting_as("ada"), registry.acting_as("ben")];
    let endless = NewApiToken { expires_at: None, role: Role::Admin, name: name("ops"), ..token(1) };
    let later = Timestamp(NOW.0 + 5);
    let first = ada.create_token(token(9), NOW).await.expect("creates");
    let second = ben.create_token(endless.clone(), later).await.expect("creates");
    assert_eq!(first, token(9).created(NOW, "ada"));
    assert_eq!(second, endless.created(later, "ben"));
    assert_eq!(registry.tokens().await.expect("reads"), [first.clone(), second.clone()], "in the order of creation");

    let base = registry.revision().await.expect("reads");
    let taken = registry.create_token(token(9), NOW).await.expect_err("an id is given once");
    assert!(taken.to_string().starts_with("could not create a token at "), "{taken}");
    let missing = registry.revoke_token(&token(3).id, NOW).await.expect_err("there is none");
    assert_eq!(missing.kind(), Kind::NotFound);
    assert_eq!(missing.to_string(), "could not find token '030303030303': `hitherto token list` has all");
    assert_eq!(registry.revision().await.expect("reads"), base, "a refusal changes nothing");

    let revoked = ben.revoke_token(&first.id, later).await.expect("revokes");
    assert_eq!(revoked, ApiToken { revoked: Some((later, "ben".to_owned())), ..first.clone() });
    assert_eq!(registry.revision().await.expect("reads"), base + 1, "who watches the revision learns of it");
    let again = ada.revoke_token(&first.id, Timestamp(NOW.0 + 9)).await.expect("it is revoked");
    assert_eq!(again, revoked, "the first revocation stays");
    assert_eq!(registry.revision().await.expect("reads"), base + 1);
    assert_eq!(registry.tokens().await.expect("reads"), [revoked, second]);
}

pub(super) async fn the_log_has_nothing_of_their_secrets(registry: &dyn Registry) {
    let eve = registry.acting_as("eve");
    let created = eve.create_token(token(9), NOW).await.expect("creates");
    registry.acting_as("ada").revoke_token(&created.id, NOW).await.expect("revokes");
    let log = registry.audit_log(0, 10).await.expect("reads");
    let told: Vec<(&str, &str, &str)> =
        log.iter().map(|entry| (entry.who.as_str(), entry.verb.as_str(), entry.subject.as_str())).collect();
    assert_eq!(told, [("eve", "create_token", "token 090909090909"), ("ada", "revoke_token", "token 090909090909")]);
    assert!(log[0].after.as_deref().is_some_and(|after| after.contains(r#""role":"writer""#)), "{log:?}");
    assert!(!format!("{log:?}").contains("hash of secret"), "{log:?}");
}
