//! Questions to the stores, and their answers compared with what the rule says.

use anyhow::{Result, bail, ensure};
use arrow::array::RecordBatch;
use hitherto_core::Kind;
use hitherto_engine::{Consumer, Engine, Lookup, LookupRequest, Serving};

use super::history::{History, Key};
use super::model::Expected;
use super::rows::{column, features, same};

/// The feature sets, by version of the view.
pub(super) const SETS: [&str; 2] = ["first", "second"];

/// Under which alias a set has its features, and how many of them.
pub(super) fn place(set: &str) -> (&'static str, usize) {
    ("v", if set == SETS[0] { 2 } else { 3 })
}

/// One row of a training set.
pub(super) fn compare_training(
    (alias, count): (&str, usize),
    training: &RecordBatch,
    row: usize,
    expected: &Expected,
) -> Result<()> {
    for ((name, value_type), expected) in features().iter().zip(&expected.values).take(count) {
        let found = &column(&training.slice(row, 1), &format!("{alias}__{name}"), value_type)?[0];
        ensure!(same(found, expected), "in the training set {alias}__{name} is {found:?}, not {expected:?}");
    }
    Ok(())
}

/// Look `keys` up in the feature set `set`.
pub(super) async fn lookup(
    history: &History,
    engine: Engine,
    set: &str,
    keys: &[Key],
) -> hitherto_engine::Result<Lookup> {
    let serving = Serving::load(engine).await?;
    let route = serving.route(&consumer(set)).await?;
    serving.lookup(route.own(), &request(history, keys)).await
}

/// The keys, and beside them, as another key, the keys in the opposite order.
pub(super) fn request(history: &History, keys: &[Key]) -> LookupRequest {
    let mut entities = Vec::new();
    for (part, (name, _)) in history.keys.iter().enumerate() {
        entities.push(((*name).to_owned(), keys.iter().map(|key| key[part].clone()).collect()));
        entities.push((format!("other_{name}"), keys.iter().rev().map(|key| key[part].clone()).collect()));
    }
    LookupRequest { entities, request: Vec::new() }
}

/// Who asks for a feature set.
pub(super) fn consumer(set: &str) -> Consumer {
    Consumer::FeatureSet(set.parse().expect("a name"))
}

/// A store that nothing has reached says so: never that there is no row.
pub(super) fn unavailable(looked_up: hitherto_engine::Result<Lookup>) -> Result<()> {
    match looked_up {
        Err(error) if error.kind() == Kind::Unavailable => Ok(()),
        Err(error) => Err(error.into()),
        Ok(found) => bail!("answered before any run: {found:?}"),
    }
}

/// One row of an online answer by one of its views: values, statuses, event time.
pub(super) fn compare_online(found: &Lookup, view: usize, row: usize, expected: &Expected) -> Result<()> {
    let columns = found.columns.iter().filter(|column| column.view == Some(view));
    for (column, (value, status)) in columns.zip(expected.values.iter().zip(expected.statuses)) {
        let (found_value, found_status) = (&column.values[row], column.statuses[row]);
        ensure!(
            same(found_value, value) && found_status == status,
            "{} is {found_value:?} ({found_status:?}), not {value:?} ({status:?})",
            column.name
        );
    }
    let event = found.views[view].event_timestamps[row];
    ensure!(event == expected.event, "the event time is {event:?}, not {:?}", expected.event);
    Ok(())
}
