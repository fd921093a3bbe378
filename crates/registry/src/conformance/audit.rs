//! The audit log.

use hitherto_core::{
    AuditEntry, AuditHead, Erasure, Finite, NewEvaluation, Notes, Record, Share, StoredVerdict, Traffic,
    verify_against, verify_chain,
};

use super::models::with_set;
use super::sample::{NOW, dataset, entity, model, name, token, view};
use crate::{Expected, Grounds, Registry};

async fn whole_log(registry: &dyn Registry) -> (Vec<AuditEntry>, Option<AuditHead>) {
    let log = registry.audit_log(0, usize::MAX).await.expect("reads");
    let head = registry.audit_head().await.expect("reads");
    assert_eq!(verify_chain(&log), Ok(head.clone()), "it is whole, and ends in its head");
    (log, head)
}

/// One change of every kind.
async fn change_everything(registry: &dyn Registry) {
    with_set(registry).await;
    registry.apply(1, &[Record::View(view(1, Notes::default()))], NOW).await.expect("applies");
    let notes = Notes { description: Some("gusts".to_owned()), ..Notes::default() };
    registry.apply(2, &[Record::View(view(1, notes))], NOW).await.expect("applies");
    registry.record_dataset(&dataset("d1", None)).await.expect("records");
    registry.register_model(model("delay"), NOW).await.expect("registers");
    let [delay, champion] = [name("delay"), name("champion")];
    let metrics = [("auc".to_owned(), Finite::new(0.7).expect("a number"))].into();
    let evaluation = NewEvaluation { metrics, ..NewEvaluation::default() };
    registry.record_evaluation(&delay, 1, evaluation, NOW).await.expect("records");
    let verdict = StoredVerdict {
        dataset: "d1".to_owned(),
        file_hash: "file d1".to_owned(),
        proven: true,
        at: NOW,
        by: "ada".to_owned(),
        report: serde_json::Value::Null,
    };
    registry.record_verdict(&verdict).await.expect("records");
    let (anything, grounds) = (Expected::Anything, Grounds::default());
    registry.move_alias(&delay, &champion, 1, anything, grounds.clone(), NOW).await.expect("moves");
    let traffic = Traffic { split: vec![Share { version: 1, weight: 1 }], shadow: None };
    registry.set_traffic(&delay, &champion, traffic, anything, grounds, NOW).await.expect("shares");
    let erasure = Erasure {
        id: "e1".to_owned(),
        view: name("weather"),
        tables: [("weather-1".to_owned(), 3)].into(),
        earlier: ["e0".to_owned()].into(),
        files_go_at: NOW,
    };
    registry.record_erasure(&erasure, NOW).await.expect("records");
    let created = registry.create_token(token(7), NOW).await.expect("creates");
    registry.revoke_token(&created.id, NOW).await.expect("revokes");
}

pub(super) async fn every_change_is_told_once(registry: &dyn Registry) {
    assert_eq!(whole_log(registry).await, (Vec::new(), None), "nothing has happened");
    change_everything(registry).await;
    let (log, head) = whole_log(registry).await;
    let told: Vec<(&str, &str, bool)> =
        log.iter().map(|entry| (entry.verb.as_str(), entry.subject.as_str(), entry.before.is_some())).collect();
    let expected = [
        ("apply", "feature_set late@1", false),
        ("apply", "feature_set other@1", false),
        ("apply", "feature_view weather@1", false),
        ("apply", "feature_view weather@1", true),
        ("record_dataset", "dataset d1", false),
        ("register_model", "model delay@1", false),
        ("evaluate", "model delay@1", false),
        ("record_verdict", "dataset d1", false),
        ("move_alias", "alias delay@champion", false),
        ("set_traffic", "alias delay@champion", true),
        ("erase", "feature_view weather", false),
        ("create_token", "token 070707070707", false),
        ("revoke_token", "token 070707070707", true),
    ];
    assert_eq!(told, expected);
    assert!(log.iter().all(|entry| entry.at == NOW && entry.after.is_some()), "{log:?}");
    let renamed = &log[3];
    assert_eq!(renamed.before, log[2].after, "before is what there was");
    assert!(renamed.after.as_deref().is_some_and(|after| after.contains("gusts")), "{renamed:?}");

    assert_eq!(registry.audit_log(3, 2).await.expect("reads"), log[3..5], "from the one after, so many");
    assert_eq!(registry.audit_log(13, 2).await.expect("reads"), []);
    let head = head.expect("there are entries");
    assert_eq!((head.number, verify_against(&log, &head, "this test")), (13, Ok(())));
}

pub(super) async fn what_changes_nothing_is_not_told(registry: &dyn Registry) {
    change_everything(registry).await;
    let (before, _) = whole_log(registry).await;
    let revision = registry.revision().await.expect("reads");
    registry.apply(revision, &[], NOW).await.expect("nothing to do");
    registry.apply(revision - 1, &[entity("airport", 1)], NOW).await.expect_err("another base");
    registry.apply(revision, &[entity("airport", 1), entity("airport", 7)], NOW).await.expect_err("a gap");
    registry.record_dataset(&dataset("d1", None)).await.expect("it is there");
    let mut foreign = model("delay");
    "cc".clone_into(&mut foreign.feature_set_hash);
    registry.register_model(foreign, NOW).await.expect_err("no such feature set");
    let [delay, champion] = [name("delay"), name("champion")];
    let there = Expected::Version(Some(9));
    registry.move_alias(&delay, &champion, 1, there, Grounds::default(), NOW).await.expect_err("it is elsewhere");
    assert_eq!(whole_log(registry).await.0, before);
}

pub(super) async fn projects_have_logs_of_their_own(left: &dyn Registry, right: &dyn Registry) {
    let before = whole_log(right).await;
    let revision = left.revision().await.expect("reads");
    left.apply(revision, &[entity("carrier", 1)], NOW).await.expect("applies");
    assert_eq!(whole_log(left).await.0[0].subject, "entity carrier@1");
    assert_eq!(whole_log(right).await, before);
}
