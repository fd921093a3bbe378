//! The files of tests/sql: queries, and what they answer.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use futures::TryStreamExt;
use hitherto_engine::{Clock, Engine};
use hitherto_offline::DESCRIPTION;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::gauged;
use crate::support::stores::moment;
use crate::support::workspace::root;

/// Operators of ours, which `EXPLAIN` is looked through for: the others' may change with a library.
const OURS: [&str; 3] = ["HistoryExec:", "AsOfMergeExec:", "FeaturesExec:"];

#[tokio::test]
async fn every_query_of_the_files_answers_so() {
    let place = gauged();
    let engine = place.engine(None, Clock::Frozen(moment(14))).await;
    let folder = root().join("tests/sql");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{} has files of queries: {files:?}", folder.display());
    let mut failures = Vec::new();
    for file in files {
        let mut runner = Runner::new(|| {
            let engine = engine.clone();
            async move { Ok(Sql { engine }) }
        });
        if let Err(error) = runner.run_file_async(&file).await {
            failures.push(error.display(false).to_string());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test]
async fn columns_say_what_they_are() {
    let place = gauged();
    let engine = place.engine(None, Clock::Frozen(moment(14))).await;
    for query in ["select value, k, event_timestamp from gauge", "select value, k, event_timestamp from latest.gauge"] {
        let rows = engine.sql(query).await.expect("a query");
        let schema = rows.schema();
        let said = |column: usize| schema.field(column).metadata().get(DESCRIPTION).map(String::as_str);
        assert_eq!((said(0), said(1)), (Some("litres"), None), "{query}");
        assert_eq!(said(2), Some("when it was true in the world"), "{query}");
    }
}

#[test]
fn a_query_as_high_as_can_be_is_borne_by_the_least_of_stacks() {
    // a command's first thread has no more, where no one says otherwise
    let borne = std::thread::Builder::new().stack_size(8 << 20).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let place = gauged();
            let engine = place.engine(None, Clock::Frozen(moment(14))).await;
            for (query, rows) in [
                (format!("select value{} from gauge", " + value".repeat(299)), 7),
                (format!("select k from gauge where k = 1{}", " or k = 7 and value > 0".repeat(74)), 4),
                (format!("select 1{}", " union all select 1".repeat(299)), 300),
            ] {
                let batches: Vec<RecordBatch> =
                    engine.sql(&query).await.expect(&query).try_collect().await.expect(&query);
                assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{query}");
            }
            let refused = engine.sql(&format!("select value{} from gauge", " + value".repeat(5_000))).await;
            let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains("5000 operators stand one upon the other"), "{said}");
        });
    });
    borne.expect("a thread").join().expect("no panic");
}

/// The product, as the files ask it.
struct Sql {
    engine: Engine,
}

/// What a query failed with.
#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

#[async_trait]
impl AsyncDB for Sql {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, query: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let failed = |error: String| Failure(error);
        let rows = self.engine.sql(query).await.map_err(|error| failed(error.to_string()))?;
        let types = vec![DefaultColumnType::Any; rows.schema().fields().len()];
        let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(|error| failed(error.to_string()))?;
        let rows = cells(&batches).map_err(|error| failed(error.to_string()))?;
        if query.trim_start().to_lowercase().starts_with("explain") {
            let lines = rows.iter().flatten().flat_map(|cell| cell.lines()).map(str::trim);
            let ours = lines.filter(|line| OURS.iter().any(|name| line.starts_with(name)));
            let rows = ours.map(|line| vec![line.to_owned()]).collect();
            return Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text], rows });
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

fn cells(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayFormatter<'_>| {
                let text = column.value(row).to_string();
                if text.is_empty() { "(empty)".to_owned() } else { text }
            };
            rows.push(columns.iter().map(cell).collect());
        }
    }
    Ok(rows)
}
