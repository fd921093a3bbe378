//! What can be planned, what a plan says of itself, and how it fails.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use futures::stream::{self, BoxStream, StreamExt};

use super::history::{Layout, Shape, source, spine, spine_schema, view};
use super::oracle::{Key, Reading, Row};
use super::run::{context, plan, run, spine_plan};
use crate::{
    AsOfExec, AsOfView, Bounds, Error, Evidence, FeatureSource, NarrowBatch, NarrowPass, RowAddress, ScanCounters,
    Sequence, Visibility,
};

const PLAIN: Reading = Reading { delay: 0, ttl: None, visibility: Visibility::Available };

fn shape() -> Shape {
    let layouts = [Layout::Int64, Layout::Text];
    Shape { spine: layouts, history: layouts, has_created: true, spine_rows: 100, history_rows: 2, partitions: 2 }
}

/// The contract's example, in seconds: `b` is corrected by `c`, and `d` comes late.
fn example() -> Vec<Row> {
    let row = |sequence: i64, event: i64, created: i64, value: i64| Row {
        key: [Some(1), Some(1)],
        event: event * 1_000_000,
        created: Some(created * 1_000_000),
        sequence,
        deleted: Some(false),
        value: Some(value),
    };
    vec![row(3, 3, 20, 9), row(2, 5, 12, 3), row(0, 0, 0, 1), row(1, 5, 8, 2)]
}

fn fails(result: Result<impl Sized>) -> Error {
    match result.err().map(DataFusionError::find_root_owned) {
        Some(Some(error)) => error,
        other => panic!("expected an error of this crate, not {other:?}"),
    }
}

trait RootError {
    fn find_root_owned(self) -> Option<Error>;
}

impl RootError for DataFusionError {
    fn find_root_owned(self) -> Option<Error> {
        match self {
            Self::External(error) => error.downcast::<Error>().ok().map(|error| *error),
            _ => None,
        }
    }
}

#[test]
fn the_contracts_example_comes_out_as_written() {
    let times = [4_000_000, 7_000_000, 8_000_000, 12_000_000, 15_000_000, 15_000_001, 20_000_000];
    let rows: Vec<(Key, i64)> = times.iter().map(|&t| ([Some(1), Some(1)], t)).collect();
    let (schema, spine) = spine(&rows, &shape());
    let ttl = Some(10_000_000);
    let views = vec![
        view("known", source(&example(), &shape()), Reading { ttl, ..PLAIN }),
        view("event", source(&example(), &shape()), Reading { ttl, visibility: Visibility::Event, ..PLAIN }),
    ];
    let plan = plan(&schema, &spine, views).expect("a plan");
    let (joined, _) = run(&plan, context(2, 3, usize::MAX)).expect("an answer");
    let values = |name: &str| -> Vec<Option<i64>> {
        joined.column_by_name(name).expect("a column").as_primitive::<Int64Type>().iter().collect()
    };
    assert_eq!(values("known_value"), [Some(1), Some(1), Some(2), Some(3), Some(3), None, None]);
    assert_eq!(values("event_value"), [Some(9), Some(3), Some(3), Some(3), Some(3), None, None]);
}

#[test]
fn columns_are_the_spine_then_outputs_then_evidence() {
    let views = vec![view("a", source(&[], &shape()), PLAIN), view("b", source(&[], &shape()), PLAIN)];
    let plan = plan(&Arc::new(spine_schema()), &[], views).expect("a plan");
    let schema = plan.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let expected = "id k0 k1 t a_text a_value b_text b_value \
                    a_event a_available a_sequence b_event b_available b_sequence";
    assert_eq!(names.join(" "), expected);
    assert_eq!((plan.output_start(), plan.evidence_start()), (4, 8));
    assert_eq!((plan.output_of(1), plan.evidence_of(1)), (6..8, 11..14));
    let (joined, blocks) = run(&plan, context(2, 8, usize::MAX)).expect("an empty answer");
    assert_eq!((joined.num_rows(), blocks), (0, 0));
}

#[test]
fn explain_names_the_views_and_how_they_are_read() {
    let reading = Reading { delay: 7, ttl: Some(60), visibility: Visibility::Event };
    let views = vec![view("weather", source(&[], &shape()), PLAIN), view("last_leg", source(&[], &shape()), reading)];
    let plan: Arc<dyn ExecutionPlan> = plan(&Arc::new(spine_schema()), &[], views).expect("a plan");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(
        text.lines().next(),
        Some(
            "AsOfExec: time=t@3, views=[\
             weather: source=memory, keys=[1, 2], visibility=available, output=[weather_text, weather_value]; \
             last_leg: source=memory, keys=[1, 2], visibility=event, delay=7us, ttl=60us, \
             output=[last_leg_text, last_leg_value]]"
        )
    );
}

#[test]
fn metrics_count_rows_by_phase() {
    let rows: Vec<(Key, i64)> = vec![([Some(1), Some(1)], 9_000_000), ([Some(2), Some(1)], 9_000_000)];
    let (schema, spine) = spine(&rows, &shape());
    let plan = plan(&schema, &spine, vec![view("v", source(&example(), &shape()), PLAIN)]).expect("a plan");
    run(&plan, context(2, 8, usize::MAX)).expect("an answer");
    let metrics = plan.metrics().expect("metrics");
    let count = |name: &str| metrics.sum_by_name(name).map(|value| value.as_usize());
    assert_eq!(count("spine_rows"), Some(2));
    assert_eq!(count("probed_rows"), Some(2), "the batch of rows that are created later is not read");
    assert_eq!(count("candidate_rows"), Some(2));
    assert_eq!(count("winner_rows"), Some(1));
    assert_eq!((count("files"), count("files_skipped")), (Some(2), Some(1)));
    assert_eq!((count("bands"), metrics.output_rows()), (Some(1), Some(2)));
}

#[test]
fn a_null_spine_time_is_refused_and_its_row_named() {
    let schema = spine_schema();
    let times = TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC");
    let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let text: ArrayRef = Layout::Text.column([Some(1), Some(1)].into_iter());
    let columns = vec![column(vec![0, 1]), column(vec![1, 1]), text, Arc::new(times)];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).expect("a spine");
    let plan = plan(&batch.schema(), &[batch.slice(0, 1), batch], vec![]).expect("a plan");
    let error = fails(run(&plan, context(1, 8, usize::MAX)));
    assert!(matches!(&error, Error::SpineTimeNull { column, row: 2 } if column == "t"), "{error:?}");
    assert_eq!(
        error.to_string(),
        "could not answer row 2 of the spine: its time, column 't', is null (rows count from 0)"
    );
}

fn spine_of(data_type: DataType) -> Arc<dyn ExecutionPlan> {
    Arc::new(EmptyExec::new(Arc::new(Schema::new(vec![Field::new("t", data_type, true)]))))
}

#[test]
fn a_date_is_no_time_to_be_answered_for() {
    for data_type in [DataType::Date32, DataType::Utf8, DataType::Int64] {
        let error = fails(AsOfExec::try_new(spine_of(data_type.clone()), 0, vec![]));
        assert!(
            matches!(&error, Error::SpineTimeType { column, data_type: given } if column == "t" && *given == data_type)
        );
        assert_eq!(error.to_string().contains("a date says no time of day"), data_type == DataType::Date32);
    }
    for zone in [None, Some("Europe/Paris".into())] {
        let plan = AsOfExec::try_new(spine_of(DataType::Timestamp(TimeUnit::Nanosecond, zone)), 0, vec![]);
        assert!(plan.is_ok_and(|plan| plan.schema().fields().len() == 1));
    }
}

#[test]
fn nanoseconds_of_the_spine_round_down() {
    let (keys, nanos) =
        (Int64Array::from(vec![1, 1]), TimestampNanosecondArray::from(vec![7_999_999_999, 8_000_000_999]));
    let k1 = Layout::Text.column([Some(1), Some(1)].into_iter());
    let columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(keys.clone())), ("k0", Arc::new(keys)), ("k1", k1), ("t", Arc::new(nanos))];
    let batch = RecordBatch::try_from_iter(columns).expect("a spine");
    let view = view("v", source(&example(), &shape()), PLAIN);
    let plan = plan(&batch.schema(), std::slice::from_ref(&batch), vec![view]).expect("a plan");
    let (joined, _) = run(&plan, context(1, 8, usize::MAX)).expect("an answer");
    assert_eq!(joined["v_value"].as_primitive::<Int64Type>(), &Int64Array::from(vec![1, 2]));
    assert_eq!(joined.column(3), batch.column(3), "the spine's own column is untouched");
}

#[test]
fn contradictions_are_refused_when_planned() {
    let plan = |change: &dyn Fn(&mut AsOfView)| {
        let mut view = view("v", source(&[], &shape()), PLAIN);
        change(&mut view);
        fails(plan(&Arc::new(spine_schema()), &[], vec![view]))
    };
    let clash = plan(&|view| view.evidence.push((Evidence::Sequence, "k0".to_owned())));
    assert!(matches!(clash, Error::NameClash { name, .. } if name == "k0"));
    let mismatch = plan(&|view| view.spine_keys = vec![2, 1]);
    assert!(matches!(mismatch, Error::KeyMismatch { column, .. } if column == "k1"));
    assert!(matches!(plan(&|view| view.spine_keys = vec![1]), Error::View { .. }));
    assert!(matches!(plan(&|view| view.spine_keys = vec![1, 9]), Error::View { .. }));
    assert!(matches!(plan(&|view| view.ttl_us = Some(-1)), Error::View { .. }));
    assert!(matches!(plan(&|view| view.source_delay_us = -1), Error::View { .. }));
    assert!(matches!(plan(&|view| view.output[0].0 = 0), Error::View { .. }));
}

#[test]
fn a_float_in_the_spine_is_no_key() {
    let schema = Schema::new(vec![
        Field::new("k", DataType::Float64, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]);
    let mut view = view("v", source(&[], &shape()), PLAIN);
    view.spine_keys = vec![0, 0];
    let error = fails(AsOfExec::try_new(spine_plan(&Arc::new(schema), &[]), 1, vec![view]));
    assert!(matches!(&error, Error::KeyType { column, .. } if column == "the spine's column 'k'"));
    assert!(
        error
            .to_string()
            .ends_with("integers with nulls come as floats from pandas: use its Int64, or cast the column")
    );
}

#[test]
fn a_spine_beyond_memory_is_taken_in_bands_and_the_memory_given_back() {
    let rows: Vec<(Key, i64)> = (0..2_000).map(|t| ([Some(1), Some(1)], t * 10_000)).collect();
    let (schema, spine) = spine(&rows, &shape());
    let limited = |bytes: usize| {
        let plan = plan(&schema, &spine, vec![view("v", source(&example(), &shape()), PLAIN)]).expect("a plan");
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().expect("a runtime");
        let context = TaskContext::default().with_runtime(runtime);
        let joined = run(&plan, Arc::new(context)).map(|(joined, _)| joined);
        let count = |name: &str| plan.metrics().and_then(|metrics| metrics.sum_by_name(name)).map(|v| v.as_usize());
        (joined, pool.reserved(), count("bands"), count("reserved_bytes_max"))
    };
    let (whole, held, bands, most) = limited(10_000_000);
    let (whole, most) = (whole.expect("enough memory"), most.expect("counted"));
    assert_eq!((whole.num_rows(), held, bands), (2_000, 0, Some(1)));
    for part in [4, 16] {
        let (joined, held, bands, peak) = limited(most / part);
        assert_eq!((joined.expect("bands"), held), (whole.clone(), 0), "1/{part} of {most}");
        assert!(bands.is_some_and(|bands| bands >= part), "{bands:?} bands");
        assert!(peak.is_some_and(|peak| peak <= most / part), "{peak:?} of {most}");
    }
    let (refused, held, ..) = limited(100);
    assert!(matches!(refused, Err(DataFusionError::ResourcesExhausted(_))), "{refused:?}");
    assert_eq!(held, 0);
}

/// A source that breaks its contract in one way.
#[derive(Debug)]
enum Broken {
    NullEvent,
    ShortPayload,
    UnequalColumns,
}

impl FeatureSource for Broken {
    fn label(&self) -> String {
        "broken".to_owned()
    }

    fn key_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn payload_schema(&self) -> Arc<Schema> {
        Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, true)]))
    }

    fn partitions(&self) -> usize {
        1
    }

    fn narrow(
        &self,
        _: usize,
        _: &NarrowPass,
        _: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<NarrowBatch>>> {
        let event = if matches!(self, Self::NullEvent) { None } else { Some(0) };
        let created = matches!(self, Self::UnequalColumns).then(|| TimestampMicrosecondArray::from(vec![0]));
        let batch = NarrowBatch {
            keys: vec![Arc::new(Int64Array::from(vec![1, 2]))],
            event: TimestampMicrosecondArray::from(vec![Some(0), event]),
            created,
            sequence: Sequence::From(0),
            deleted: None,
            file: 4,
            first_row: 10,
        };
        Ok(stream::iter([Ok(batch)]).boxed())
    }

    fn fetch(
        &self,
        _: Arc<[RowAddress]>,
        _: &ScanCounters,
        _: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        Ok(stream::iter([Ok(RecordBatch::new_empty(self.payload_schema()))]).boxed())
    }
}

#[test]
fn a_source_that_breaks_its_contract_is_named() {
    for (source, expected) in [
        (Broken::NullEvent, "the event time of row 11 of file 4 is null"),
        (Broken::ShortPayload, "it was asked for the payload of 1 rows and gave 0"),
        (Broken::UnequalColumns, "the columns of a batch differ in length"),
    ] {
        let mut view = view("v", super::history::source(&[], &shape()), PLAIN);
        view.source = Arc::new(source);
        view.spine_keys = vec![1];
        view.output = vec![(0, Arc::new(Field::new("v_value", DataType::Int64, true)))];
        let (schema, spine) = spine(&[([Some(1), Some(1)], 5)], &shape());
        let plan = plan(&schema, &spine, vec![view]).expect("a plan");
        let error = fails(run(&plan, context(1, 8, usize::MAX)));
        assert!(!error.is_invalid_argument());
        assert_eq!(error.to_string(), format!("could not read 'v': {expected}"));
    }
}

#[test]
fn bounds_hold_what_can_matter() {
    let view = |reading| view("v", source(&[], &shape()), reading);
    let known = Bounds::new(&view(Reading { delay: 5, ttl: Some(10), ..PLAIN }), 100, 200);
    assert_eq!(known, Bounds { event_min: Some(90), event_max: 195, created_max: Some(200) });
    assert!(known.may_match(Some((195, 300)), Some(200)) && known.may_match(Some((0, 90)), None));
    assert!(!known.may_match(Some((196, 300)), None) && !known.may_match(Some((0, 89)), None));
    assert!(!known.may_match(None, Some(201)));
    let event = Bounds::new(&view(Reading { delay: 5, ttl: Some(0), visibility: Visibility::Event }), 100, 200);
    assert_eq!(event, Bounds { event_min: None, event_max: 200, created_max: None });
    let end = Bounds::new(&view(Reading { delay: 5, ..PLAIN }), 100, i64::MAX);
    assert_eq!(end, Bounds { event_min: None, event_max: i64::MAX, created_max: None });
}
