//! A view's history, read in as many passes as a proof takes, its parts in parallel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use hitherto_certificate::{Causes, Claim, HistoryColumns, Proof, Proposal, Questions, ViewReport};
use hitherto_offline::{CREATED, DELETED, EVENT, HistoryTable, SEQUENCE, recovered};

use crate::training_set::{Progress, partitions};
use crate::{Error, Result};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Questions of one band that were put already, by key columns: views of one entity ask the same.
#[derive(Default)]
pub(super) struct Asked(Vec<(KeyColumns, Arc<Questions>)>);

/// The columns of a file that make up a key, and the types that the view compares them as.
type KeyColumns = Vec<(usize, DataType)>;

/// One view held against one band of a file.
pub(super) struct Examination<'a> {
    pub(super) claim: Claim,
    /// The features that the claim is about, as the view calls them.
    pub(super) features: Vec<String>,
    pub(super) history: &'a HistoryTable,
    /// Rows of that history.
    pub(super) history_rows: u64,
    pub(super) band: &'a RecordBatch,
    pub(super) sample: usize,
}

impl Asked {
    fn of(&mut self, claim: &Claim, band: &RecordBatch) -> Result<Arc<Questions>> {
        if let Some((_, known)) = self.0.iter().find(|(keys, _)| *keys == claim.keys) {
            return Ok(Arc::clone(known));
        }
        let questions = Arc::new(Questions::of(band, &claim.keys, claim.time)?);
        self.0.push((claim.keys.clone(), Arc::clone(&questions)));
        Ok(questions)
    }
}

impl Examination<'_> {
    /// Prove the view's cells, or find out what is wrong with them.
    pub(super) async fn run(
        self,
        runtime: &Arc<RuntimeEnv>,
        asked: &mut Asked,
        first_row: u64,
        seen: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<ViewReport> {
        let questions = asked.of(&self.claim, self.band)?;
        let schema = self.history.schema();
        let created = schema.index_of(CREATED).is_ok();
        let columns = HistoryColumns { keys: self.claim.keys.len(), created };
        let narrow = self.narrow(&schema, created)?;
        let mut wide = narrow.clone();
        for feature in &self.features {
            wide.push(place(&schema, feature)?);
        }
        let types: Vec<DataType> =
            wide[narrow.len()..].iter().map(|&column| schema.field(column).data_type().clone()).collect();

        let claim = self.claim.clone();
        let seed = Proposal::new(&questions);
        let known = Arc::clone(&questions);
        let propose = move |part: &mut Proposal, batch: &RecordBatch| part.add(&known, &claim, columns, batch);
        let mut parts = self.pass(runtime, &narrow, seed, propose, seen).await?.into_iter();
        let first = parts.next().unwrap_or_else(|| Proposal::new(&questions));
        let proposal = parts.fold(first, |mut all, part| {
            all.merge(&part);
            all
        });

        let proof = Proof::new(proposal, questions, self.claim.clone(), columns, &types, self.band, self.sample)?;
        let mut parts = self.pass(runtime, &wide, proof.clone(), Proof::add, seen).await?.into_iter();
        let mut proof = parts.next().unwrap_or(proof);
        parts.for_each(|part| proof.merge(part));
        let findings = proof.finish()?;

        let causes = match findings.causes()? {
            None => None,
            Some(causes) => {
                let mut parts = self.pass(runtime, &wide, causes.clone(), Causes::add, seen).await?.into_iter();
                let mut causes = parts.next().unwrap_or(causes);
                parts.for_each(|part| causes.merge(part));
                Some(causes)
            }
        };
        Ok(findings.conclude(causes.as_ref(), first_row)?)
    }

    /// The columns that decide who wins: keys in the claim's order, times, tombstones, sequences.
    fn narrow(&self, schema: &Schema, created: bool) -> Result<Vec<usize>> {
        // keys come first in a history's columns, in canonical order, as they do in a claim
        let mut columns: Vec<usize> = (0..self.claim.keys.len()).collect();
        columns.push(place(schema, EVENT)?);
        if created {
            columns.push(place(schema, CREATED)?);
        }
        columns.push(place(schema, DELETED)?);
        columns.push(place(schema, SEQUENCE)?);
        Ok(columns)
    }

    /// Show all of history to clones of `seed`, each partition to one.
    async fn pass<T: Clone + Send + 'static>(
        &self,
        runtime: &Arc<RuntimeEnv>,
        columns: &[usize],
        seed: T,
        add: impl Fn(&mut T, &RecordBatch) -> hitherto_certificate::Result<()> + Clone + Send + 'static,
        seen: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<Vec<T>> {
        let config = SessionConfig::new().with_target_partitions(partitions());
        let context = SessionContext::new_with_config_rt(config, Arc::clone(runtime));
        let failed = |source| Error::from(recovered("read history", source));
        let columns = columns.to_vec();
        let plan = self.history.scan(&context.state(), Some(&columns), &[], None).await.map_err(failed)?;
        let read = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for partition in 0..plan.output_partitioning().partition_count() {
            let mut rows = plan.execute(partition, context.task_ctx()).map_err(failed)?;
            let (mut part, add, read) = (seed.clone(), add.clone(), Arc::clone(&read));
            tasks.push(SpawnedTask::spawn(async move {
                while let Some(batch) = rows.try_next().await.map_err(failed)? {
                    add(&mut part, &batch)?;
                    read.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                }
                Ok::<T, Error>(part)
            }));
        }
        let mut parts = Vec::with_capacity(tasks.len());
        let mut ticks = tokio::time::interval(TELL_EVERY);
        for mut task in tasks {
            let done = loop {
                tokio::select! {
                    done = &mut task => break done,
                    _ = ticks.tick() => seen(Progress::Reading(read.load(Ordering::Relaxed), self.history_rows)),
                }
            };
            parts.push(done.map_err(|source| Error::internal("a part of the proof ended early", source))??);
        }
        Ok(parts)
    }
}

fn place(schema: &Schema, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|source| Error::internal("history lacks a column", source))
}
