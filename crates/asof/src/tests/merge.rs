//! The merge of two relations, held against a search through all pairs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use proptest::collection::vec;
use proptest::prelude::*;

use super::run::{context, runtime, spine_plan};
use crate::{AsOfMatch, AsOfMergeExec, Nearest};

/// Key, time and a number that tells rows apart.
type Row = (Option<i64>, Option<i64>, i64);

const ALL: [Nearest; 4] = [Nearest::AtOrBefore, Nearest::Before, Nearest::AtOrAfter, Nearest::After];

fn schema(names: [&str; 3]) -> SchemaRef {
    Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec()))
}

/// Rows in batches of `size`.
fn batches(schema: &SchemaRef, rows: &[Row], size: usize) -> Vec<RecordBatch> {
    let batch = |rows: &[Row]| {
        let keys: Int64Array = rows.iter().map(|row| row.0).collect();
        let times: Int64Array = rows.iter().map(|row| row.1).collect();
        let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(times), Arc::new(ids)];
        RecordBatch::try_new(Arc::clone(schema), columns).expect("three columns")
    };
    rows.chunks(size.max(1)).map(batch).collect()
}

fn column(schema: &SchemaRef, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(index).name(), index))
}

fn sides() -> (SchemaRef, SchemaRef) {
    (schema(["k", "t", "id"]), schema(["rk", "rt", "rid"]))
}

/// The merge of two sides that are sorted already.
fn merge(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, nearest: Nearest) -> Arc<AsOfMergeExec> {
    let (ours, theirs) = sides();
    let matching = AsOfMatch {
        keys: vec![(column(&ours, 0), column(&theirs, 0))],
        left_time: column(&ours, 1),
        nearest,
        right_time: column(&theirs, 1),
        ties: vec![column(&theirs, 2)],
    };
    let both: Vec<_> = ours.fields().iter().chain(theirs.fields()).cloned().collect();
    Arc::new(AsOfMergeExec::try_new(left, right, matching, Arc::new(Schema::new(both))).expect("sides that fit"))
}

fn empty(schema: &SchemaRef) -> Arc<dyn ExecutionPlan> {
    spine_plan(schema, &[])
}

/// The merge of rows in any order, which are sorted as it wants them.
fn plan(left: &[Row], right: &[Row], nearest: Nearest, size: usize) -> Arc<AsOfMergeExec> {
    let (ours, theirs) = sides();
    // the order that is wanted does not depend on what the sides are
    let wanted = merge(empty(&ours), empty(&theirs), nearest).required_input_ordering();
    let sorted = |schema: &SchemaRef, rows: &[Row], side: usize| -> Arc<dyn ExecutionPlan> {
        let order = LexOrdering::from(wanted[side].clone().expect("an order").into_single());
        Arc::new(SortExec::new(order, spine_plan(schema, &batches(schema, rows, size))))
    };
    merge(sorted(&ours, left, 0), sorted(&theirs, right, 1), nearest)
}

/// The id of each left row, and that of its match, by the left id; and in how many blocks they came.
fn run(plan: Arc<AsOfMergeExec>, size: usize) -> (Vec<(i64, Option<i64>)>, usize) {
    let schema = plan.schema();
    let blocks = runtime().block_on(collect(plan, context(1, size.max(1), usize::MAX))).expect("a join that runs");
    let whole = concat_batches(&schema, &blocks).expect("blocks of one schema");
    let (ids, matches) = (whole.column(2).as_primitive::<Int64Type>(), whole.column(5).as_primitive::<Int64Type>());
    let mut pairs: Vec<(i64, Option<i64>)> =
        (0..whole.num_rows()).map(|row| (ids.value(row), matches.is_valid(row).then(|| matches.value(row)))).collect();
    pairs.sort_unstable();
    (pairs, blocks.len())
}

fn merged(left: &[Row], right: &[Row], nearest: Nearest, size: usize) -> Vec<(i64, Option<i64>)> {
    run(plan(left, right, nearest, size), size).0
}

/// The same by looking at every pair.
fn searched(left: &[Row], right: &[Row], nearest: Nearest) -> Vec<(i64, Option<i64>)> {
    let answer = |&(key, time, id): &Row| {
        let candidates = right.iter().filter_map(|row| {
            let (key, time, theirs, theirs_at) = (key?, time?, row.0?, row.1?);
            let (is_match, distance) = match nearest {
                Nearest::AtOrBefore => (theirs_at <= time, time - theirs_at),
                Nearest::Before => (theirs_at < time, time - theirs_at),
                Nearest::AtOrAfter => (theirs_at >= time, theirs_at - time),
                Nearest::After => (theirs_at > time, theirs_at - time),
            };
            (key == theirs && is_match).then_some((-distance, row.2))
        });
        (id, candidates.max().map(|(_, id)| id))
    };
    let mut pairs: Vec<(i64, Option<i64>)> = left.iter().map(answer).collect();
    pairs.sort_unstable();
    pairs
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (proptest::option::weighted(0.9, 0..4_i64), proptest::option::weighted(0.9, 0..12_i64));
    vec(row, 0..60)
        .prop_map(|rows| rows.into_iter().enumerate().map(|(id, (key, time))| (key, time, id as i64)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_finds_what_searching_finds(left in rows(), right in rows(), size in 1_usize..9) {
        for nearest in ALL {
            prop_assert_eq!(merged(&left, &right, nearest, size), searched(&left, &right, nearest), "{:?}", nearest);
        }
    }
}

#[test]
fn answers_from_more_batches_than_are_held_come_in_more_blocks() {
    let rows: Vec<Row> = (0..100).map(|at| (Some(1), Some(at), at)).collect();
    let (ours, theirs) = sides();
    // the left side is one batch, the right one has a row in each
    let left = spine_plan(&ours, &batches(&ours, &rows, 100));
    let right = spine_plan(&theirs, &batches(&theirs, &rows, 1));
    let (pairs, blocks) = run(merge(left, right, Nearest::AtOrBefore), 100);
    assert_eq!(pairs, (0..100).map(|at| (at, Some(at))).collect::<Vec<_>>());
    assert_eq!(blocks, 7);
}

#[test]
fn of_rows_at_one_time_the_greatest_by_the_ties_wins() {
    let right = [(Some(1), Some(5), 7), (Some(1), Some(5), 9), (Some(1), Some(5), 8)];
    for nearest in [Nearest::AtOrBefore, Nearest::AtOrAfter] {
        assert_eq!(merged(&[(Some(1), Some(5), 0)], &right, nearest, 2), [(0, Some(9))]);
    }
}

#[test]
fn a_plan_says_what_is_matched() {
    let plan = plan(&[], &[], Nearest::Before, 1);
    let said = displayable(plan.as_ref()).one_line().to_string();
    assert_eq!(said.trim(), "AsOfMergeExec: match=t@1 > rt@1, keys=[k@0 = rk@0]");
}

#[test]
fn floats_are_refused() {
    let float = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
    let side = || spine_plan(&float, &[]) as Arc<dyn ExecutionPlan>;
    let matching = AsOfMatch {
        keys: Vec::new(),
        left_time: column(&float, 0),
        nearest: Nearest::Before,
        right_time: column(&float, 0),
        ties: Vec::new(),
    };
    let both = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true); 2]));
    let refused = AsOfMergeExec::try_new(side(), side(), matching, both).expect_err("a float");
    assert!(refused.to_string().contains("no float"), "{refused}");
}
