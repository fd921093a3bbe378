//! `plan` and `apply`: the difference between definition files and the registry, shown or made in one transaction.

use hitherto_core::{Catalog, NewTables, Plan, Record, parse_definitions, plan};

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
        plan_on(&catalog, files, new_tables)
    }

    /// Make the difference in one transaction. When another apply comes first, plan again on what it left.
    pub async fn apply(&self, files: &[DefinitionFile], new_tables: NewTables) -> Result<Applied> {
        let mut attempt = 1;
        loop {
            let catalog = self.registry().catalog().await?;
            let plan = plan_on(&catalog, files, new_tables)?;
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
}

fn plan_on(catalog: &Catalog, files: &[DefinitionFile], new_tables: NewTables) -> Result<Plan> {
    let wanted = parse_definitions(files).map_err(Error::Definitions)?;
    let plan = plan(catalog, &wanted, new_tables).map_err(Error::Definitions)?;
    for record in &plan.records {
        if let Record::Set(set) = record {
            Transforms::compile(&set.resolved)?;
        }
    }
    Ok(plan)
}
