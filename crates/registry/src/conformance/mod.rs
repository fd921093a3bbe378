//! What every registry must do, as tests that every backend runs.

mod audit;
mod datasets;
mod definitions;
mod models;
mod races;
mod results;
mod sample;
mod tokens;
mod traffic;

use std::sync::Arc;

use hitherto_core::Name;

use crate::Registry;

/// Runs every case; panics at the first that fails.
///
/// `connect` opens a registry of the project given. Two calls with one project must give two connections of their own
/// to the same rows; each case uses a project of its own, all in one store.
pub async fn run<C, F>(connect: C)
where
    C: Fn(Name) -> F + Sync,
    F: Future<Output = Arc<dyn Registry>> + Send,
{
    definitions::an_empty_registry_reads_as_empty(&*project(&connect, "empty").await).await;
    definitions::applied_records_come_back(&*project(&connect, "applied").await).await;
    definitions::a_stale_apply_changes_nothing(&*project(&connect, "stale").await).await;
    definitions::a_refused_record_takes_the_others_with_it(&*project(&connect, "refused").await).await;
    definitions::only_notes_and_columns_change(&*project(&connect, "notes").await).await;
    definitions::versions_follow_each_other(&*project(&connect, "follow").await).await;
    models::versions_count_from_one(&*project(&connect, "models").await).await;
    models::unknown_and_foreign_references_are_refused(&*project(&connect, "references").await).await;
    models::aliases_move_and_are_remembered(&*project(&connect, "aliases").await).await;
    models::what_is_missing_is_named_with_its_like(&*project(&connect, "missing").await).await;
    traffic::it_is_shared_until_the_alias_moves(&*project(&connect, "traffic").await).await;
    traffic::what_contradicts_itself_is_refused(&*project(&connect, "wrong_traffic").await).await;
    results::evaluations_are_kept_in_order(&*project(&connect, "evaluations").await).await;
    results::verdicts_are_kept_in_order(&*project(&connect, "verdicts").await).await;
    results::moves_keep_their_grounds(&*project(&connect, "grounds").await).await;
    tokens::they_are_created_and_revoked_once(&*project(&connect, "tokens").await).await;
    tokens::the_log_has_nothing_of_their_secrets(&*project(&connect, "secrets").await).await;
    audit::every_change_is_told_once(&*project(&connect, "audited").await).await;
    audit::what_changes_nothing_is_not_told(&*project(&connect, "unchanged").await).await;
    datasets::the_first_recording_stays(&*project(&connect, "datasets").await).await;
    datasets::they_are_found_by_id_name_and_prefix(&*project(&connect, "lookup").await).await;
    datasets::one_that_no_model_needs_is_forgotten(&*project(&connect, "forgotten").await).await;

    let [left, right] = [project(&connect, "left").await, project(&connect, "right").await];
    definitions::projects_do_not_see_each_other(&*left, &*right).await;
    let [left, right] = [project(&connect, "left_log").await, project(&connect, "right_log").await];
    audit::projects_have_logs_of_their_own(&*left, &*right).await;

    let [one, two] = [project(&connect, "racing").await, project(&connect, "racing").await];
    races::no_apply_is_lost_or_mixed(one, two).await;
    let [one, two] = [project(&connect, "moving").await, project(&connect, "moving").await];
    races::one_of_two_movers_wins(one, two).await;
    let [one, two] = [project(&connect, "registering").await, project(&connect, "registering").await];
    races::every_registration_gets_its_own_version(one, two).await;

    let [one, two] = [project(&connect, "logging").await, project(&connect, "logging").await];
    races::both_write_one_log(one, two).await;

    let first = project(&connect, "kept").await;
    definitions::applied_records_come_back(&*first).await;
    let before = first.catalog().await.expect("reads");
    drop(first);
    assert_eq!(
        project(&connect, "kept").await.catalog().await.expect("reads"),
        before,
        "a new connection sees the same"
    );
}

/// A feature view, a feature set that pins it with the hash `aa`, the table that it reads; and a dataset of it, `d1`.
#[cfg(test)]
pub(crate) fn what_a_model_needs() -> ([hitherto_core::Record; 3], hitherto_core::Dataset) {
    let view = hitherto_core::Record::View(sample::view(1, hitherto_core::Notes::default()));
    let records = [view, sample::set("late", 1, "aa"), sample::table("weather-1", &["gust"])];
    (records, sample::dataset("d1", None))
}

async fn project<C, F>(connect: &C, name: &str) -> Arc<dyn Registry>
where
    C: Fn(Name) -> F + Sync,
    F: Future<Output = Arc<dyn Registry>> + Send,
{
    connect(sample::name(name)).await
}
