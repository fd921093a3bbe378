//! The audit log: its head anchored where the registry's owner does not write, and the log held against its anchors.

use std::time::Duration;

use hitherto_core::{AuditEntry, AuditHead, verify_against, verify_chain};
use serde::{Deserialize, Serialize};

use crate::{Engine, Error, Result};

/// The folder of anchors in the object store; a folder in it is a project's. No table's name begins so.
const FOLDER: &str = "_audit";
/// How long a change waits for its anchor. It is made already: a store that is away must not hold it up.
const ANCHORING_MAX: Duration = Duration::from_secs(10);
/// Entries that are read at once.
const PAGE: usize = 10_000;

/// An anchor as it is kept: the head of the log after a change.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    project: String,
    #[serde(flatten)]
    head: AuditHead,
}

/// What a verification of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// How many entries the log has.
    pub entries: usize,
    /// The last of them.
    pub head: Option<AuditHead>,
    /// How many anchors the object store has.
    pub anchors: usize,
    /// How many datasets carry one.
    pub datasets: usize,
    /// What is wrong; each names the entry. Empty for a log that is as it was written.
    pub faults: Vec<String>,
}

impl Engine {
    /// Keep the head of the audit log in the object store, if it is not there. Every verb that changes the registry does.
    ///
    /// What it cannot do it says in the log of the process and does not fail: the change is made, and the next change
    /// anchors this one too, because each entry is bound to the one before it.
    pub(crate) async fn anchor(&self) {
        let failed = match tokio::time::timeout(ANCHORING_MAX, self.keep_head()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{} did not answer within {ANCHORING_MAX:?}", self.offline().url()),
        };
        tracing::warn!("the audit log's head is not anchored; the next change does it: {failed}");
    }

    async fn keep_head(&self) -> Result<()> {
        let Some(head) = self.registry().audit_head().await? else { return Ok(()) };
        let file = format!("{:010}.json", head.number);
        let anchor = Anchor { project: self.project().to_string(), head };
        let text = serde_json::to_vec(&anchor).map_err(|error| Error::internal("could not write JSON", error))?;
        let Some(there) = self.offline().keep(&[FOLDER, self.project().as_str(), &file], text).await? else {
            return Ok(());
        };
        match serde_json::from_slice::<Anchor>(&there) {
            Ok(known) if known == anchor => Ok(()),
            _ => Err(Error::Invalid(format!(
                "{FOLDER}/{}/{file} of the object store knows another entry {}: the log was cut or rewritten, and \
                 `hitherto audit verify` says where",
                anchor.project, anchor.head.number
            ))),
        }
    }

    /// Hold the audit log against itself, and against every anchor that the object store and the datasets have.
    pub async fn verify_audit(&self) -> Result<AuditReport> {
        let kept = self.offline().kept(&[FOLDER, self.project().as_str()]).await?;
        let datasets = self.registry().datasets().await?;
        // read last: an entry that is written meanwhile is no anchor's that was read before
        let entries = self.audit_entries().await?;
        let mut faults = Vec::new();
        if let Err(fault) = verify_chain(&entries) {
            faults.push(fault.to_string());
        }
        for (file, bytes) in &kept {
            let place = format!("the anchor {FOLDER}/{}/{file} of the object store", self.project());
            match serde_json::from_slice::<Anchor>(bytes) {
                Ok(anchor) if anchor.project == self.project().as_str() => {
                    faults.extend(verify_against(&entries, &anchor.head, &place).err().map(|fault| fault.to_string()));
                }
                Ok(anchor) => faults.push(format!("{place} was changed: it is of project '{}'", anchor.project)),
                Err(error) => faults.push(format!("{place} was changed: it cannot be read: {error}")),
            }
        }
        let carried = datasets.iter().filter_map(|dataset| Some((dataset, dataset.build.audit_head.as_ref()?)));
        for (dataset, head) in carried.clone() {
            let place = format!("dataset {}", dataset.id.get(..12).unwrap_or(&dataset.id));
            faults.extend(verify_against(&entries, head, &place).err().map(|fault| fault.to_string()));
        }
        Ok(AuditReport {
            entries: entries.len(),
            head: entries.last().map(AuditEntry::head),
            anchors: kept.len(),
            datasets: carried.count(),
            faults,
        })
    }

    /// All of the log.
    pub(crate) async fn audit_entries(&self) -> Result<Vec<AuditEntry>> {
        let mut entries: Vec<AuditEntry> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |last| last.number);
            let page = self.registry().audit_log(after, PAGE).await?;
            let is_last = page.len() < PAGE;
            entries.extend(page);
            if is_last {
                return Ok(entries);
            }
        }
    }
}
