//! A run event as version 2-0-2 of the specification has it.

use hitherto_core::{Name, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Run;
use super::columns::first_columns;
use super::place::Place;

/// Who says so: this program, as a package URL.
const PRODUCER: &str = concat!("pkg:cargo/hitherto@", env!("CARGO_PKG_VERSION"));
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    event_type: &'static str,
    event_time: String,
    run: Value,
    job: Value,
    inputs: Vec<EventDataset>,
    outputs: Vec<EventDataset>,
    producer: &'static str,
    #[serde(rename = "schemaURL")]
    schema_url: &'static str,
}

impl RunEvent {
    /// The job whose run it tells of.
    pub(super) fn job_name(&self) -> &str {
        self.job["name"].as_str().unwrap_or_default()
    }
}

/// What is to be told of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// `ingest.weather`.
    pub(super) job: String,
    /// The query that it ran, if it did.
    pub(super) query: Option<String>,
    pub(super) inputs: Vec<EventDataset>,
    pub(super) outputs: Vec<EventDataset>,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

/// What a run read or wrote.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventDataset {
    #[serde(flatten)]
    pub(super) place: Place,
    facets: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    output_facets: Map<String, Value>,
}

/// A column: its name, its type, a description.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value_type: String,
    pub(super) description: Option<String>,
}

impl EventDataset {
    /// At a place, with its `dataSource` facet.
    pub(super) fn at(place: Place) -> Self {
        let name = place.namespace.clone();
        Self { place, facets: Map::new(), output_facets: Map::new() }.with_source(&name)
    }

    /// Where the store that it is in calls itself so.
    pub(super) fn with_source(mut self, name: &str) -> Self {
        let source = json!({"name": name, "uri": self.place.uri});
        self.facets.insert("dataSource".to_owned(), facet("1-0-1", "DatasourceDatasetFacet", source));
        self
    }

    /// With its columns.
    pub(super) fn with_schema(mut self, fields: &[Field]) -> Self {
        let fields: Vec<Value> = first_columns(fields, 1)
            .iter()
            .map(|field| {
                let mut told = json!({"name": field.name, "type": field.value_type});
                if let (Some(description), Value::Object(told)) = (&field.description, &mut told) {
                    told.insert("description".to_owned(), description.clone().into());
                }
                told
            })
            .collect();
        self.facets.insert("schema".to_owned(), facet("1-1-1", "SchemaDatasetFacet", json!({"fields": fields})));
        self
    }

    /// At one of its versions.
    pub(super) fn with_version(mut self, version: &str) -> Self {
        let told = json!({"datasetVersion": version});
        self.facets.insert("version".to_owned(), facet("1-0-1", "DatasetVersionDatasetFacet", told));
        self
    }

    /// With another name for it: what users call it.
    pub(super) fn with_name(mut self, namespace: &str, name: &str) -> Self {
        let told = json!({"identifiers": [{"namespace": namespace, "name": name, "type": "TABLE"}]});
        self.facets.insert("symlinks".to_owned(), facet("1-0-1", "SymlinksDatasetFacet", told));
        self
    }

    /// With what its columns came from: the body of a `columnLineage` facet.
    pub(super) fn with_column_lineage(mut self, told: Value) -> Self {
        self.facets.insert("columnLineage".to_owned(), facet("1-2-0", "ColumnLineageDatasetFacet", told));
        self
    }

    /// With what was written of it; bytes where they are known.
    pub(super) fn with_output(mut self, rows: u64, bytes: Option<u64>) -> Self {
        let mut told = json!({"rowCount": rows});
        if let (Some(bytes), Value::Object(told)) = (bytes, &mut told) {
            told.insert("size".to_owned(), bytes.into());
        }
        let told = facet("1-0-2", "OutputStatisticsOutputDatasetFacet", told);
        self.output_facets.insert("outputStatistics".to_owned(), told);
        self
    }
}

/// The events of a run that has ended: that it began, and how it ended.
pub(super) fn events(project: &Name, run: &Run, ended: Timestamp, told: Told) -> Vec<RunEvent> {
    let engine = json!({
        "name": "hitherto",
        "version": env!("CARGO_PKG_VERSION"),
        "openlineageAdapterVersion": env!("CARGO_PKG_VERSION"),
    });
    let mut run_facets =
        Map::from_iter([("processing_engine".to_owned(), facet("1-1-1", "ProcessingEngineRunFacet", engine))]);
    let kind = json!({"processingType": "BATCH", "integration": "HITHERTO", "jobType": "JOB"});
    let mut job_facets = Map::from_iter([("jobType".to_owned(), facet("2-0-3", "JobTypeJobFacet", kind))]);
    if let Some(query) = &told.query {
        job_facets.insert("sql".to_owned(), facet("1-0-1", "SQLJobFacet", json!({"query": query})));
    }
    let job = json!({"namespace": namespace(project), "name": told.job, "facets": job_facets});
    let id = run.id.to_string();
    let started = RunEvent {
        event_type: "START",
        event_time: run.begun.to_string(),
        run: json!({"runId": id, "facets": run_facets}),
        job: job.clone(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        producer: PRODUCER,
        schema_url: SCHEMA,
    };
    let event_type = if told.failure.is_some() { "FAIL" } else { "COMPLETE" };
    if let Some(message) = told.failure {
        let told = json!({"message": message, "programmingLanguage": "RUST"});
        run_facets.insert("errorMessage".to_owned(), facet("1-0-1", "ErrorMessageRunFacet", told));
    }
    let finished = RunEvent {
        event_type,
        event_time: ended.to_string(),
        run: json!({"runId": id, "facets": run_facets}),
        job,
        inputs: told.inputs,
        outputs: told.outputs,
        ..started.clone()
    };
    vec![started, finished]
}

/// The namespace of a project's jobs, and of what users call its views.
pub(super) fn namespace(project: &Name) -> String {
    format!("hitherto.{project}")
}

/// A facet of the specification, in the version that it is written in.
fn facet(version: &str, name: &str, mut told: Value) -> Value {
    if let Value::Object(told) = &mut told {
        let url = format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}");
        told.insert("_producer".to_owned(), PRODUCER.into());
        told.insert("_schemaURL".to_owned(), url.into());
    }
    told
}
