//! Random histories: the join says what the oracle says, and nothing about their layout changes it.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::physical_plan::ExecutionPlan;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::history::{Layout, Layouts, Shape, fold, source, spine, view};
use super::oracle::{Key, Reading, Row};
use super::run::{context, plan, run};
use crate::Visibility;

#[derive(Clone, Debug)]
struct Case {
    spine: Vec<(Key, i64)>,
    histories: Vec<(Vec<Row>, Reading)>,
    shape: Shape,
    threads: usize,
    batch_size: usize,
    /// What part of the memory that it would take it may have.
    memory_part: usize,
}

/// Few moments, so that they meet; a few at the ends of time.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![
        20 => 0..12i64,
        1 => select(vec![i64::MIN, i64::MIN + 1, i64::MIN + 5, i64::MAX - 5, i64::MAX - 1, i64::MAX]),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let part = || prop_oneof![12 => (0..3u8).prop_map(Some), 1 => Just(None)];
    [part(), part()]
}

fn row(has_created: bool) -> impl Strategy<Value = Row> {
    // late rows, corrections, and rows announced before they happened
    let created = prop_oneof![4 => moment().boxed(), 1 => Just(0).boxed()];
    let deleted = prop_oneof![3 => Just(None), 6 => Just(Some(false)), 3 => Just(Some(true))];
    (key(), moment(), created, deleted, option::weighted(0.8, 0..1_000i64)).prop_map(
        move |(key, event, created, deleted, value)| {
            let created = has_created.then_some(created);
            Row { key, event, created, sequence: 0, deleted, value }
        },
    )
}

fn reading() -> impl Strategy<Value = Reading> {
    let delay = prop_oneof![5 => Just(0), 5 => 1..5i64, 1 => select(vec![i64::MAX - 3, i64::MAX])];
    let ttl =
        prop_oneof![2 => Just(None), 1 => Just(Some(0)), 6 => (1..8i64).prop_map(Some), 1 => Just(Some(i64::MAX))];
    let visibility = select(vec![Visibility::Available, Visibility::Event]);
    (delay, ttl, visibility).prop_map(|(delay, ttl, visibility)| Reading { delay, ttl, visibility })
}

fn history(has_created: bool) -> impl Strategy<Value = Vec<Row>> {
    vec(row(has_created), 0..40).prop_flat_map(|rows| {
        let sequences: Vec<i64> = (0..rows.len() as i64).collect();
        (Just(rows), Just(sequences).prop_shuffle()).prop_map(|(mut rows, sequences)| {
            for (row, sequence) in rows.iter_mut().zip(sequences) {
                row.sequence = sequence * 3;
            }
            rows
        })
    })
}

/// A family for each part of the key, and a layout of it for either side.
fn layouts() -> impl Strategy<Value = (Layouts, Layouts)> {
    let part = || select(Layout::FAMILIES.to_vec()).prop_flat_map(|family| (select(family), select(family)));
    (part(), part()).prop_map(|((a, b), (c, d))| ([a, c], [b, d]))
}

fn case() -> impl Strategy<Value = Case> {
    (any::<bool>(), layouts(), 1..20usize, 1..20usize, 1..5usize).prop_flat_map(
        |(has_created, (spine_layouts, history_layouts), spine_rows, history_rows, partitions)| {
            let shape = Shape {
                spine: spine_layouts,
                history: history_layouts,
                has_created,
                spine_rows,
                history_rows,
                partitions,
            };
            let spine = vec((key(), moment()), 0..40);
            let histories = vec((history(has_created), reading()), 1..3);
            (spine, histories, Just(shape), 1..4usize, 1..16usize, select(vec![1, 4, 16])).prop_map(
                |(spine, histories, shape, threads, batch_size, memory_part)| Case {
                    spine,
                    histories,
                    shape,
                    threads,
                    batch_size,
                    memory_part,
                },
            )
        },
    )
}

/// What one spine row may need, in the widest layouts.
const MEMORY_MIN: usize = 4_000;

/// The answer, after making sure that it is the same with little memory.
fn joined(case: &Case) -> RecordBatch {
    let (schema, spine) = spine(&case.spine, &case.shape);
    let views = case.histories.iter().enumerate();
    let views = views.map(|(i, (rows, reading))| view(&format!("v{i}"), source(rows, &case.shape), *reading)).collect();
    let plan = plan(&schema, &spine, views).expect("a plan");
    let ample = context(case.threads, case.batch_size, usize::MAX);
    let (joined, blocks) = run(&plan, ample).expect("an answer");
    let expected: usize = spine.iter().map(|batch| batch.num_rows().div_ceil(case.batch_size)).sum();
    assert_eq!(blocks, expected, "a block for each slice of a spine batch");
    if case.memory_part > 1 {
        let peak = plan.metrics().and_then(|metrics| metrics.sum_by_name("reserved_bytes_max"));
        let limit = peak.map_or(0, |peak| peak.as_usize()) / case.memory_part;
        let tight = context(case.threads, case.batch_size, limit.max(MEMORY_MIN));
        let (again, _) = run(&plan, tight).expect("the same answer in bands");
        assert_eq!(again, joined, "with {limit} bytes");
    }
    joined
}

fn integers(joined: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    let column: &ArrayRef = joined.column_by_name(name).expect("a column of that name");
    match column.as_primitive_opt::<Int64Type>() {
        Some(column) => column.iter().collect(),
        None => column.as_primitive::<TimestampMicrosecondType>().iter().collect(),
    }
}

fn texts(joined: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = joined.column_by_name(name).expect("a column of that name").as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

/// What the oracle says of each spine row. A layout that cannot tell two keys apart makes them one.
fn expected(case: &Case, history: &[Row], reading: Reading) -> Vec<Option<Row>> {
    let folded = |row: &Row| Row { key: fold(case.shape.history, row.key), ..row.clone() };
    let history: Vec<Row> = history.iter().map(folded).collect();
    let answer = |&(key, t): &(Key, i64)| reading.answer(&history, fold(case.shape.spine, key), t).cloned();
    case.spine.iter().map(answer).collect()
}

fn with_shuffled_histories(case: &Case, other: &Shape) -> impl Strategy<Value = Case> + use<> {
    let (case, other) = (case.clone(), other.clone());
    let readings: Vec<Reading> = case.histories.iter().map(|history| history.1).collect();
    let shuffled: Vec<_> = case.histories.iter().map(|(rows, _)| Just(rows.clone()).prop_shuffle()).collect();
    let shape = Shape { has_created: case.shape.has_created, spine: case.shape.spine, ..other };
    (shuffled, 1..4usize, 1..16usize).prop_map(move |(rows, threads, batch_size)| Case {
        spine: case.spine.clone(),
        histories: rows.into_iter().zip(readings.clone()).collect(),
        shape: Shape { history: case.shape.history, ..shape.clone() },
        threads,
        batch_size,
        memory_part: case.memory_part,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_join_says_what_the_oracle_says(case in case()) {
        let joined = joined(&case);
        prop_assert_eq!(joined.num_rows(), case.spine.len());
        prop_assert_eq!(integers(&joined, "id"), (0..case.spine.len() as i64).map(Some).collect::<Vec<_>>());
        for (i, (history, reading)) in case.histories.iter().enumerate() {
            let expected = expected(&case, history, *reading);
            let say = |what: &dyn Fn(&Row) -> Option<i64>| -> Vec<Option<i64>> {
                expected.iter().map(|row| row.as_ref().and_then(what)).collect()
            };
            prop_assert_eq!(integers(&joined, &format!("v{i}_sequence")), say(&|row| Some(row.sequence)));
            prop_assert_eq!(integers(&joined, &format!("v{i}_event")), say(&|row| Some(row.event)));
            prop_assert_eq!(integers(&joined, &format!("v{i}_available")), say(&|row| Some(reading.available_at(row))));
            prop_assert_eq!(integers(&joined, &format!("v{i}_value")), say(&|row| row.value));
            let text: Vec<_> = say(&|row| row.value).into_iter().map(|value| value.map(|v| format!("v{v}"))).collect();
            prop_assert_eq!(texts(&joined, &format!("v{i}_text")), text);
        }
    }

    #[test]
    fn no_layout_of_files_changes_the_answer(
        (case, other) in (case(), case()).prop_flat_map(|(case, other)| {
            let shuffled = with_shuffled_histories(&case, &other.shape);
            (Just(case), shuffled)
        })
    ) {
        prop_assert_eq!(joined(&case), joined(&other));
    }
}
