//! `plan` and `apply`: the difference between definition files and the registry, shown or made in one transaction.

use hitherto_core::{Catalog, NewTables, Plan, Record, ResolvedSet, parse_definitions, plan};

use crate::both_ways::refuse_disagreement;
use crate::{Engine, Error, Result, Transforms};

/// How often an apply is planned anew when another one came first.
const ATTEMPTS: usize = 8;

/// A definition file: its path for messages, and its text.
pub type DefinitionFile = (String, String);

/// What an apply did.
#[derive(Debug)]
pub struct Applied {
    /// What was planned and made.
    pub plan: Plan,
    /// The registry's revision after it.
    pub revision: i64,
}

impl Engine {
    /// The difference between `files` and the registry; nothing is changed. Reports every problem of every file.
    pub async fn plan(&self, files: &[DefinitionFile], new_tables: NewTables) -> Result<Plan> {
        let catalog = self.registry().catalog().await?;
        self.plan_on(&catalog, files, new_tables).await
    }

    /// Make the difference in one transaction. When another apply comes first, plan again on what it left.
    pub async fn apply(&self, files: &[DefinitionFile], new_tables: NewTables) -> Result<Applied> {
        let mut attempt = 1;
        loop {
            let catalog = self.registry().catalog().await?;
            let plan = self.plan_on(&catalog, files, new_tables).await?;
            if plan.records.is_empty() {
                return Ok(Applied { plan, revision: catalog.revision });
            }
            match self.registry().apply(plan.base_revision, &plan.records, self.clock().now()).await {
                Ok(revision) => {
                    self.anchor().await;
                    return Ok(Applied { plan, revision });
                }
                Err(error) if error.kind() == hitherto_core::Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The difference, of which every transform compiles and gives the same in training sets and when it is served.
    async fn plan_on(&self, catalog: &Catalog, files: &[DefinitionFile], new_tables: NewTables) -> Result<Plan> {
        let wanted = parse_definitions(files).map_err(Error::Definitions)?;
        let plan = plan(catalog, &wanted, new_tables).map_err(Error::Definitions)?;
        for record in &plan.records {
            if let Record::Set(set) = record {
                self.refuse_disagreement(catalog, &set.resolved).await?;
            }
        }
        Ok(plan)
    }

    async fn refuse_disagreement(&self, catalog: &Catalog, set: &ResolvedSet) -> Result<()> {
        if Transforms::compile(set)?.is_empty() {
            return Ok(());
        }
        let of_history = self.latest_samples(catalog, set).await;
        let set = set.clone();
        // some hundred evaluations: on a thread on which nobody waits for a request
        let tried = tokio::task::spawn_blocking(move || refuse_disagreement(&set, of_history)).await;
        tried.map_err(|source| Error::internal("could not evaluate transforms on sample rows", source))?
    }
}
