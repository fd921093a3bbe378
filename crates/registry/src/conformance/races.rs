//! Two connections at once.

use std::sync::Arc;

use hitherto_core::{Catalog, EntityVersion, verify_chain};

use super::models::with_set;
use super::sample::{NOW, dataset, entity, model, name};
use crate::{Error, Expected, Grounds, Registry};

const ROUNDS: usize = 50;

/// Each writer adds a version to two entities in one apply, planned from the catalog that it read. While they race, a
/// reader must never see one entity ahead of the other, nor a revision that does not fit.
pub(super) async fn no_apply_is_lost_or_mixed(one: Arc<dyn Registry>, two: Arc<dyn Registry>) {
    let writers = [tokio::spawn(apply_rounds(Arc::clone(&one))), tokio::spawn(apply_rounds(Arc::clone(&two)))];
    let total = 2 * ROUNDS as i64;
    let mut seen = 0;
    while seen < total {
        let catalog = one.catalog().await.expect("a reader never waits for a writer");
        assert!(catalog.revision >= seen, "revisions only rise");
        assert_whole(&catalog);
        seen = catalog.revision;
        if writers.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.extend(writer.await.expect("no writer failed"));
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=total).collect::<Vec<_>>(), "every apply has a revision of its own");
    let catalog = two.catalog().await.expect("reads");
    assert_whole(&catalog);
    assert_eq!(catalog.revision, total, "no apply is lost");
}

async fn apply_rounds(registry: Arc<dyn Registry>) -> Vec<i64> {
    let mut revisions = Vec::new();
    while revisions.len() < ROUNDS {
        let catalog = registry.catalog().await.expect("reads");
        let next = versions(&catalog, "origin").len() as u32 + 1;
        let records = [entity("origin", next), entity("dest", next)];
        match registry.apply(catalog.revision, &records, NOW).await {
            Ok(revision) => {
                assert_eq!(revision, catalog.revision + 1);
                revisions.push(revision);
            }
            Err(Error::Conflict { base, found }) => assert!(base < found, "a conflict has a cause"),
            Err(error) => panic!("only a conflict may refuse an apply: {error}"),
        }
    }
    revisions
}

fn versions<'a>(catalog: &'a Catalog, entity: &str) -> &'a [EntityVersion] {
    catalog.entities.get(entity).map_or(&[], Vec::as_slice)
}

fn assert_whole(catalog: &Catalog) {
    let [origin, dest] = [versions(catalog, "origin").len(), versions(catalog, "dest").len()];
    assert_eq!((origin, dest), (catalog.revision as usize, catalog.revision as usize), "one revision, wholly");
}

/// Both movers expect the alias where it is: exactly one may move it.
pub(super) async fn one_of_two_movers_wins(one: Arc<dyn Registry>, two: Arc<dyn Registry>) {
    with_set(&*one).await;
    let rounds = 20;
    for _ in 0..=2 * rounds {
        one.register_model(model("delay"), NOW).await.expect("registers");
    }
    let [delay, champion] = [name("delay"), name("champion")];
    let mut at = None;
    for round in 0..rounds {
        let mine = Expected::Version(at);
        let (left, right) = tokio::join!(
            one.move_alias(&delay, &champion, 2 * round + 1, mine, Grounds::default(), NOW),
            two.move_alias(&delay, &champion, 2 * round + 2, mine, Grounds::default(), NOW),
        );
        let (won, lost) = match (left, right) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            both => panic!("exactly one mover wins: {both:?}"),
        };
        assert!(matches!(&lost, Error::AliasMoved { found, .. } if *found == Some(won.version)), "{lost}");
        at = Some(won.version);
    }
    let moves = one.alias_moves(&delay).await.expect("reads");
    assert_eq!(moves.len(), rounds as usize, "a lost move leaves no trace");
    assert!(moves.windows(2).all(|pair| pair[1].from == Some(pair[0].to)), "each begins where the last ended");
    assert_eq!(moves.last().map(|last| last.to), at);
}

pub(super) async fn every_registration_gets_its_own_version(one: Arc<dyn Registry>, two: Arc<dyn Registry>) {
    with_set(&*one).await;
    let register = |registry: Arc<dyn Registry>| async move {
        let mut versions = Vec::new();
        for _ in 0..ROUNDS {
            versions.push(registry.register_model(model("delay"), NOW).await.expect("registers").version);
        }
        versions
    };
    let (left, right) = tokio::join!(tokio::spawn(register(Arc::clone(&one))), tokio::spawn(register(two)));
    let mut versions = [left.expect("no writer failed"), right.expect("no writer failed")].concat();
    versions.sort_unstable();
    assert_eq!(versions, (1..=2 * ROUNDS as u32).collect::<Vec<_>>());
    assert_eq!(one.revision().await.expect("reads"), 1 + 2 * ROUNDS as i64);
}

/// Each entry is bound to the one before it, whoever wrote that one.
pub(super) async fn both_write_one_log(one: Arc<dyn Registry>, two: Arc<dyn Registry>) {
    let record = |registry: Arc<dyn Registry>, side: &'static str| async move {
        for round in 0..ROUNDS {
            registry.record_dataset(&dataset(&format!("{side}{round}"), None)).await.expect("records");
        }
    };
    let writers = (tokio::spawn(record(Arc::clone(&one), "a")), tokio::spawn(record(two, "b")));
    let (left, right) = tokio::join!(writers.0, writers.1);
    left.and(right).expect("no writer failed");
    let log = one.audit_log(0, usize::MAX).await.expect("reads");
    let head = verify_chain(&log).expect("the log is whole").expect("it has entries");
    assert_eq!(head.number, 2 * ROUNDS as i64);
}
