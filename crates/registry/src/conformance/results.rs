//! What was found of models and datasets: evaluations, verdicts, the evidence of gates.

use hitherto_core::{
    Condition, Finite, GateReport, Kind, NewEvaluation, StoredVerdict, Timestamp, VersionedName, verify_chain,
};

use super::models::with_set;
use super::sample::{NOW, dataset, model, name};
use crate::{Expected, Grounds, Registry};

fn evaluation(auc: f64) -> NewEvaluation {
    let auc = Finite::new(auc).expect("a number");
    NewEvaluation { metrics: [("auc".to_owned(), auc)].into(), ..NewEvaluation::default() }
}

pub(super) async fn evaluations_are_kept_in_order(registry: &dyn Registry) {
    with_set(registry).await;
    for _ in 0..2 {
        registry.register_model(model("delay"), NOW).await.expect("registers");
    }
    let delay = name("delay");
    let mut kept = Vec::new();
    for (auc, at) in [(0.7, NOW), (0.6, Timestamp(NOW.0 - 1)), (0.7, NOW)] {
        kept.push(registry.record_evaluation(&delay, 1, evaluation(auc), at).await.expect("records"));
    }
    assert_eq!(kept[1], evaluation(0.6).of(delay.clone(), 1, Timestamp(NOW.0 - 1)));
    assert_eq!(registry.evaluations(&delay, 1).await.expect("reads"), kept, "in the order of recording");
    assert_eq!(registry.evaluations(&delay, 2).await.expect("reads"), []);
    let base = registry.revision().await.expect("reads");
    let empty = registry.record_evaluation(&delay, 1, NewEvaluation::default(), NOW).await.expect_err("no number");
    assert_eq!(
        empty.to_string(),
        "could not record an evaluation of delay@1: it has no number: give a metric like auc=0.71"
    );
    for missing in [
        registry.record_evaluation(&delay, 3, evaluation(0.7), NOW).await.expect_err("no such version"),
        registry.evaluations(&delay, 3).await.expect_err("no such version"),
    ] {
        assert_eq!(missing.to_string(), "could not find model version 'delay@3': its versions are 1 to 2");
    }
    assert_eq!(registry.revision().await.expect("reads"), base);
}

pub(super) async fn verdicts_are_kept_in_order(registry: &dyn Registry) {
    registry.record_dataset(&dataset("d1", Some("june"))).await.expect("records");
    let verdict = |proven, by: &str| StoredVerdict {
        dataset: "d1".to_owned(),
        file_hash: "file d1".to_owned(),
        proven,
        at: NOW,
        by: by.to_owned(),
        report: serde_json::json!({"rows": 3, "key": "N14228"}),
    };
    let kept = [verdict(false, "ada"), verdict(true, "ben")];
    for verdict in &kept {
        registry.record_verdict(verdict).await.expect("records");
    }
    assert_eq!(registry.verdicts("d1").await.expect("reads"), kept);
    let unknown = StoredVerdict { dataset: "june".to_owned(), ..verdict(true, "ada") };
    for missing in [
        registry.record_verdict(&unknown).await.expect_err("an id, not a name"),
        registry.verdicts("june").await.expect_err("an id, not a name"),
    ] {
        assert_eq!(missing.kind(), Kind::NotFound);
        assert_eq!(missing.to_string(), "could not find dataset 'june': no training set with this id is recorded");
    }
    let log = registry.audit_log(0, 10).await.expect("reads");
    assert!(log.iter().all(|entry| !format!("{entry:?}").contains("N14228")), "no value of a row is told: {log:?}");
}

pub(super) async fn moves_keep_their_grounds(registry: &dyn Registry) {
    with_set(registry).await;
    registry.register_model(model("delay"), NOW).await.expect("registers");
    let [delay, champion] = [name("delay"), name("champion")];
    let report = GateReport {
        gate: Some(VersionedName { name: name("careful"), version: 2 }),
        model: VersionedName { name: delay.clone(), version: 1 },
        alias: champion.clone(),
        at: NOW,
        passed: false,
        conditions: vec![Condition { text: "auc is at least 0.7".to_owned(), passed: false, found: "0.65".to_owned() }],
    };
    let grounds = |reason: &str| Grounds { evidence: vec![report.clone()], override_reason: Some(reason.to_owned()) };
    let unsaid = registry.move_alias(&delay, &champion, 1, Expected::Anything, grounds(" \n"), NOW).await;
    assert_eq!(
        unsaid.expect_err("no reason").to_string(),
        "could not move alias 'champion' of model 'delay': an override needs a reason"
    );
    registry.move_alias(&delay, &champion, 1, Expected::Anything, grounds("a holiday"), NOW).await.expect("moves");
    let moves = registry.alias_moves(&delay).await.expect("reads");
    assert_eq!(moves.len(), 1);
    assert_eq!((&moves[0].evidence, moves[0].override_reason.as_deref()), (&Some(report), Some("a holiday")));
    let log = registry.audit_log(0, 100).await.expect("reads");
    verify_chain(&log).expect("the log is whole");
    let after = log.last().and_then(|last| last.after.as_deref()).expect("a move has an after");
    assert!(after.contains(r#""override_reason":"a holiday""#) && after.contains("auc is at least 0.7"), "{after}");
}
