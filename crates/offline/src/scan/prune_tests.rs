//! What is skipped, and that nothing else is.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::metrics::Count;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use hitherto_asof::{Bounds, KeySet};
use hitherto_core::{Created, EntityKey, KeyValue};
use proptest::prelude::*;

use super::HistoryTable;
use super::history_exec::HistoryExec;
use super::samples::{Seen, created, files, pinned, table, written};
use super::tests::{ALL_TIMES, any_keys, context, file, memory, narrow, pass, rows_of, run, source, view};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Rows that bounds and keys exclude may be missing, others not.
    #[test]
    fn what_is_skipped_cannot_matter(
        files in files(), created in created(), group_rows in 1_usize..6,
        event_min in proptest::option::of(-20_i64..20), event_max in -20_i64..20,
        created_max in proptest::option::of(-20_i64..20),
        keys in proptest::collection::vec((0_i64..3, any::<bool>()), 0..3), by_key in any::<bool>(),
    ) {
        run(async {
            let (store, table) = (memory(), table(created));
            let (data_files, seen) = written(&store, &table, &files, group_rows).await;
            let source = source(pinned(&store, &table, &data_files, i64::MAX), 2);
            let bounds = Bounds { event_min, event_max, created_max };
            let (key_set, wanted) = listed(&keys);
            let is_wanted = |key: &Option<EntityKey>| key.as_ref().is_some_and(|key| wanted.contains(key));
            let pass = pass(bounds.clone(), if by_key { key_set } else { any_keys() });
            let rows = rows_of(&narrow(&source, &pass, &context(8)).await);
            let found: Vec<i64> = rows.values().map(|(_, row)| row.sequence).collect();
            for Seen { row, key, .. } in &seen {
                let event = (row.event.0, row.event.0);
                let in_time = bounds.may_match(Some(event), row.created.map(|created| created.0));
                let matters = in_time && (!by_key || is_wanted(key));
                assert!(!matters || found.contains(&row.sequence), "{row:?} is missing");
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A query answers the same whether what it asks of rows is looked at while they are read, or afterwards.
    #[test]
    fn rows_that_are_left_out_early_would_not_have_come(
        files in files(), created in created(), group_rows in 1_usize..6, last in -1_i64..40, bound in -3_i64..6,
    ) {
        run(async {
            let (store, table) = (memory(), table(created));
            let (data_files, _) = written(&store, &table, &files, group_rows).await;
            let pinned = pinned(&store, &table, &data_files, last);
            let config = SessionConfig::new().with_target_partitions(2).with_batch_size(3);
            let context = SessionContext::new_with_config(config);
            let history = Arc::new(HistoryTable::try_new(pinned, &view("0s", &["delay", "note"])).expect("a table"));
            context.register_table("legs", Arc::clone(&history) as Arc<dyn TableProvider>).expect("a table");
            let everything = context.sql("select * from legs").await.expect("a query").collect().await.expect("rows");
            let copy = MemTable::try_new(history.schema(), vec![everything]).expect("a copy");
            context.register_table("copy", Arc::new(copy)).expect("a table");
            for query in [
                format!("select a, b, note from legs where a = {bound}"),
                format!("select a, b, delay from legs where a >= {bound} and b = 'x'"),
                format!("select a, note from legs where delay < {bound} and note is not null"),
                format!("select a, delay from legs where event_timestamp < to_timestamp_micros({bound}) or delay = 3"),
                format!("select _sequence, b from legs where a = {bound} and available_at > to_timestamp_micros(0)"),
                format!("select a, note from legs where b = 'x' order by delay desc, a, note limit {}", bound + 4),
                format!(
                    "select l.a, r.note, r.delay from legs l join legs r on l.a = r.a and \
                     l.event_timestamp = r.event_timestamp where l.delay < {bound}"
                ),
            ] {
                let (early, late) = (lines(&context, &query).await, lines(&context, &query.replace("legs", "copy")).await);
                assert_eq!(early, late, "{query}");
            }
        });
    }
}

/// A query's rows as text, sorted.
async fn lines(context: &SessionContext, query: &str) -> Vec<String> {
    let batches = context.sql(query).await.expect("a query").collect().await.expect("rows");
    let text = arrow::util::pretty::pretty_format_batches(&batches).expect("text").to_string();
    let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Keys of an integer and one of two texts, as a set and one by one.
fn listed(keys: &[(i64, bool)]) -> (KeySet, Vec<EntityKey>) {
    let text = |is_long: bool| if is_long { "a text too long to be kept within a view" } else { "x" };
    let ints: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| key.0)));
    let texts = keys.iter().map(|key| text(key.1));
    let texts: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(texts));
    let key = |key: &(i64, bool)| EntityKey(vec![KeyValue::Int(key.0), KeyValue::String(text(key.1).to_owned())]);
    (KeySet::listed(&[ints, texts]), keys.iter().map(key).collect())
}

#[tokio::test]
async fn keys_skip_files_row_groups_and_pages() {
    let (store, table) = (memory(), table(Created::Column));
    // two files: keys 0 and 1 of one, 2 and 3 of the other, 20 rows each, in their order
    let sorted = |from: i64| {
        let mut file = file(40, 0, 4);
        file.rows.iter_mut().enumerate().for_each(|(n, row)| row.key.0 = Some(from + n as i64 / 20));
        file
    };
    let (mut files, _) = written(&store, &table, &[sorted(0), sorted(2)], 20).await;
    let ends = |min: i64| serde_json::json!({"minValues": {"a": min}, "maxValues": {"a": min + 1}});
    for (file, min) in files.iter_mut().zip([0, 2]) {
        file.stats = ends(min).as_object().expect("an object").clone();
    }
    let source = source(pinned(&store, &table, &files, 100), 1);
    let read = |keys: &'static [(i64, bool)], bounds: Bounds| {
        let (source, pass) = (&source, pass(bounds, listed(keys).0));
        async move {
            let rows = rows_of(&narrow(source, &pass, &context(8)).await).len();
            let of = |count: &Count| count.value();
            let counters = &pass.counters;
            (rows, of(&counters.files_skipped), of(&counters.groups_skipped), of(&counters.page_rows_skipped))
        }
    };
    assert_eq!(read(&[(0, false), (3, false)], ALL_TIMES).await, (40, 0, 2, 0));
    assert_eq!(read(&[(1, false)], ALL_TIMES).await, (20, 1, 1, 0));
    assert_eq!(read(&[(7, false)], ALL_TIMES).await, (0, 2, 0, 0));
    assert_eq!(read(&[(1, true)], ALL_TIMES).await, (0, 1, 2, 0), "the other part of the key is nowhere");
    // pages have two rows: of the second key's 20 rows those from 25 s to 29 s
    let some = Bounds { event_min: Some(25_000_000), event_max: 29_000_000, created_max: None };
    assert_eq!(read(&[(1, false)], some).await, (6, 1, 1, 14));
}

#[tokio::test]
async fn a_query_reads_the_files_and_row_groups_that_its_filters_leave() {
    use datafusion::physical_plan::displayable;

    let (store, table) = (memory(), table(Created::Column));
    // two files of two row groups: keys 0 and 1 of one, 2 and 3 of the other, 20 rows each, a row a second
    let sorted = |from: i64, commit_time: i64| {
        let mut file = file(40, commit_time, 4);
        file.rows.iter_mut().enumerate().for_each(|(n, row)| row.key.0 = Some(from + n as i64 / 20));
        file
    };
    let (mut files, _) = written(&store, &table, &[sorted(0, 50_000_000), sorted(2, 60_000_000)], 20).await;
    let ends = |min: i64| serde_json::json!({"minValues": {"a": min}, "maxValues": {"a": min + 1}});
    for (file, min) in files.iter_mut().zip([0, 2]) {
        file.stats = ends(min).as_object().expect("an object").clone();
    }
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let view = view("0s", &["delay"]);
    let history = HistoryTable::try_new(pinned(&store, &table, &files, 100), &view).expect("a table");
    context.register_table("legs", Arc::new(history)).expect("a table");
    let plan = |filter: &'static str| {
        let context = &context;
        async move {
            let frame = context.sql(&format!("select delay from legs where {filter}")).await.expect("a query");
            let rows = frame.clone().count().await.expect("rows");
            let plan = frame.create_physical_plan().await.expect("a plan");
            let said = displayable(plan.as_ref()).indent(false).to_string();
            let scan = said.lines().find_map(|line| line.trim().strip_prefix("HistoryExec: table=legs-1, "));
            let scan = scan.unwrap_or_else(|| panic!("no scan of ours: {said}"));
            (rows, scan.split(", columns").next().unwrap_or_default().to_owned())
        }
    };
    let said = |rows: usize, scan: &str| (rows, scan.to_owned());
    assert_eq!(plan("true").await, said(80, "files=2/2, row_groups=4/4"));
    assert_eq!(plan("a = 1").await, said(20, "files=1/2, row_groups=1/2"));
    assert_eq!(plan("a in (0, 3)").await, said(40, "files=2/2, row_groups=2/4"));
    assert_eq!(plan("a = 9").await, said(0, "files=0/2, row_groups=0/0"));
    assert_eq!(plan("event_timestamp >= '1970-01-01T00:00:20Z'").await, said(40, "files=2/2, row_groups=2/4"));
    assert_eq!(plan("a < 1").await, said(20, "files=2/2, row_groups=4/4"), "statistics are asked for equal keys alone");
    let early = "_ingested_at <= timestamp '1970-01-01T00:00:55Z'";
    assert_eq!(plan(early).await, said(40, "files=1/2, row_groups=2/2"));
    assert_eq!(plan("_sequence >= 40").await, said(40, "files=1/2, row_groups=2/2"));
}

#[tokio::test]
async fn a_join_leaves_closed_what_its_other_side_rules_out() {
    let (store, table) = (memory(), table(Created::Column));
    // two files of two row groups, each with 20 rows, a row a second
    let (files, _) = written(&store, &table, &[file(40, 0, 4), file(40, 0, 4)], 20).await;
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let history = HistoryTable::try_new(pinned(&store, &table, &files, 100), &view("0s", &["delay"])).expect("a table");
    context.register_table("legs", Arc::new(history)).expect("a table");
    // what comes first is what the other side waits for: two seconds, which nothing but the rows themselves tells
    let query = "select l.delay from legs r join legs l on l.a = r.a and l.event_timestamp = r.event_timestamp where r.delay < 2";
    let plan = context.sql(query).await.expect("a query").create_physical_plan().await.expect("a plan");
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.expect("rows");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 8, "two of each in both files");
    let mut scans = Vec::new();
    scanned(&plan, &mut scans);
    scans.sort_unstable();
    assert_eq!(scans, [(4, 0), (4, 2)], "row groups, and those of them that were not read");
}

/// What the scans of a plan that has run counted: row groups, and how many of them were skipped.
fn scanned(plan: &Arc<dyn ExecutionPlan>, scans: &mut Vec<(usize, usize)>) {
    if plan.is::<HistoryExec>() {
        let metrics = plan.metrics().expect("metrics");
        let count = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
        scans.push((count("groups"), count("groups_skipped")));
    }
    for child in plan.children() {
        scanned(child, scans);
    }
}

#[tokio::test]
async fn rows_are_counted_without_being_read_where_all_of_them_are_known() {
    use datafusion::physical_plan::displayable;

    let (store, table) = (memory(), table(Created::Column));
    let (files, _) = written(&store, &table, &[file(6, 0, 4)], 2).await;
    let reads = |last: i64, filter: &'static str| {
        let pinned = pinned(&store, &table, &files, last);
        async move {
            let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
            let history = HistoryTable::try_new(pinned, &view("0s", &["delay"])).expect("a table");
            context.register_table("legs", Arc::new(history)).expect("a table");
            let frame = context.sql(&format!("select count(*) from legs {filter}")).await.expect("a query");
            let plan = frame.clone().create_physical_plan().await.expect("a plan");
            let reads = displayable(plan.as_ref()).indent(false).to_string().contains("HistoryExec");
            let batches = frame.collect().await.expect("a count");
            (reads, arrow::util::display::array_value_to_string(batches[0].column(0), 0).expect("a number"))
        }
    };
    assert_eq!(reads(100, "").await, (false, "6".to_owned()));
    assert_eq!(reads(4, "").await, (true, "5".to_owned()), "a row group has a row beyond the pin");
    assert_eq!(reads(100, "where delay < 2").await, (true, "2".to_owned()));
    assert_eq!(reads(100, "where event_timestamp < '1970-01-01T00:00:03Z'").await, (true, "3".to_owned()));
}
