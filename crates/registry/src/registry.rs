//! What a registry promises.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use hitherto_core::{
    Alias, ApiToken, AuditEntry, AuditHead, Catalog, Dataset, Erasure, Evaluation, GateReport, ModelVersion, Name,
    NewApiToken, NewEvaluation, NewModelVersion, Record, Selector, StoredVerdict, Timestamp, TokenId, Traffic,
};
use serde::{Deserialize, Serialize};

use crate::Result;

/// One project's memory of definitions, models and datasets.
///
/// Every change is one transaction, on disk before the call returns, raises the revision by one, and is told in the audit
/// log, which nothing but a change can lengthen and nothing can shorten. A call that changes nothing raises nothing. Reads see one revision wholly.
#[async_trait]
pub trait Registry: Debug + Send + Sync {
    /// The revision now: 0 before the first change. Cheap enough to ask every second.
    async fn revision(&self) -> Result<i64>;

    /// Everything applied, at one revision.
    async fn catalog(&self) -> Result<Catalog>;

    /// Writes `records`, all or none, and returns the new revision; without records, `base_revision`.
    ///
    /// Refused with [`Error::Conflict`](crate::Error::Conflict) unless the revision is still `base_revision`; with
    /// [`Error::Immutable`](crate::Error::Immutable) if a record would change more than notes or add more than
    /// columns to a table; with [`Error::NotNext`](crate::Error::NotNext) if a version does not follow the last.
    async fn apply(&self, base_revision: i64, records: &[Record], now: Timestamp) -> Result<i64>;

    /// Registers the model's next version. The feature set version, its hash and the dataset must be known and agree.
    async fn register_model(&self, new: NewModelVersion, now: Timestamp) -> Result<ModelVersion>;

    /// Points an alias at a version, if it still points where `expected` says, and sends all of its traffic there. The
    /// move is remembered with its `grounds`. Moving it to where it already points, with no traffic shared, changes
    /// nothing and returns it as it is.
    async fn move_alias(
        &self,
        model: &Name,
        alias: &Name,
        version: u32,
        expected: Expected,
        grounds: Grounds,
        now: Timestamp,
    ) -> Result<Alias>;

    /// Shares an alias's traffic among versions of its model, if it still points where `expected` says; the audit log has
    /// the `grounds`. A request that changes nothing returns the alias as it is.
    async fn set_traffic(
        &self,
        model: &Name,
        alias: &Name,
        traffic: Traffic,
        expected: Expected,
        grounds: Grounds,
        now: Timestamp,
    ) -> Result<Alias>;

    /// Attaches an evaluation to a model version; it never changes afterwards.
    async fn record_evaluation(
        &self,
        model: &Name,
        version: u32,
        new: NewEvaluation,
        now: Timestamp,
    ) -> Result<Evaluation>;

    /// The evaluations of a model version, oldest first; not found if there is no such version.
    async fn evaluations(&self, model: &Name, version: u32) -> Result<Vec<Evaluation>>;

    /// The latest version of every model, by name.
    async fn models(&self) -> Result<Vec<ModelVersion>>;

    /// Every version of one model, in order; not found if it has none.
    async fn model_versions(&self, model: &Name) -> Result<Vec<ModelVersion>>;

    /// The version of a model that `selector` names: the latest, a number, or where an alias points now.
    async fn model(&self, selector: &Selector) -> Result<ModelVersion>;

    /// A model's aliases, by name; not found if there is no such model.
    async fn aliases(&self, model: &Name) -> Result<Vec<Alias>>;

    /// Every move of a model's aliases, oldest first; not found if there is no such model.
    async fn alias_moves(&self, model: &Name) -> Result<Vec<AliasMove>>;

    /// Remembers a training set.
    ///
    /// The first recording of an id stays: how it was made, its rows and its file's hash never change. If the same id
    /// comes again with the same bytes, its location follows to the new file (the older one may be gone), and so does
    /// its name, where one is given. If it comes with other bytes, these stay: compare the hash returned. Where its spine
    /// came from is added to what was known of that ([`Dataset::add_grounds`]), whatever the bytes.
    async fn record_dataset(&self, dataset: &Dataset) -> Result<Recorded>;

    /// The dataset with this id; else the one recorded last under this name; else the only one whose id begins so.
    async fn dataset(&self, wanted: &str) -> Result<Dataset>;

    /// Every dataset, in the order in which they were first recorded.
    async fn datasets(&self) -> Result<Vec<Dataset>>;

    /// Remembers what was found of a dataset, whose full id the verdict names; it never changes afterwards.
    async fn record_verdict(&self, verdict: &StoredVerdict) -> Result<()>;

    /// The verdicts on the dataset with this full id, oldest first; not found if there is no such dataset.
    async fn verdicts(&self, dataset: &str) -> Result<Vec<StoredVerdict>>;

    /// Forgets the dataset with this full id, and its verdicts; the audit log remembers that there was one. Refused with
    /// [`Error::Needed`](crate::Error::Needed) while model versions name it.
    async fn forget_dataset(&self, id: &str, now: Timestamp) -> Result<()>;

    /// Tells in the audit log that a file of the dataset with this full id lies at `place`, too: its entry stays as it is, and
    /// whoever looks for its files finds this one. Nothing is told of the place that the entry names.
    async fn record_copy(&self, id: &str, place: &str, now: Timestamp) -> Result<()>;

    /// Tells in the audit log that an entity was erased.
    async fn record_erasure(&self, erasure: &Erasure, now: Timestamp) -> Result<()>;

    /// Remembers an API token. Its secret never comes here, and what is kept of it is not told in the audit log.
    async fn create_token(&self, new: NewApiToken, now: Timestamp) -> Result<ApiToken>;

    /// Revokes a token for ever. One that is revoked already is returned as it is; not found if there is none.
    async fn revoke_token(&self, id: &TokenId, now: Timestamp) -> Result<ApiToken>;

    /// The file that it lies in, where it is one of this machine.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Every token that was ever created, in that order. One whose row cannot be read is left out, and the log says so.
    async fn tokens(&self) -> Result<Vec<ApiToken>>;

    /// At most `limit` entries of the audit log, in order, from the one after number `after`; 0 for the first.
    async fn audit_log(&self, after: i64, limit: usize) -> Result<Vec<AuditEntry>>;

    /// The last entry of the audit log; none before the first change.
    async fn audit_head(&self) -> Result<Option<AuditHead>>;

    /// The same registry for somebody else: `actor` is who changes it through what is returned.
    fn acting_as(&self, actor: &str) -> Arc<dyn Registry>;

    /// Where the registry is, for people, without secrets.
    fn describe(&self) -> String;
}

/// Where the mover of an alias thinks that it points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anywhere or nowhere: the last mover wins.
    Anything,
    /// At this version, or, if none, nowhere yet.
    Version(Option<u32>),
}

/// Why an alias is moved, or its traffic shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// What its gate found: of a move one report, of a split one for each version that is new to the alias.
    pub evidence: Vec<GateReport>,
    /// Why it is done although the gate refused.
    pub override_reason: Option<String>,
}

/// What recording a dataset did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is the first of its id.
    New,
    /// Its id was known: this is the record that is kept.
    Existing(Box<Dataset>),
}

/// One move of an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasMove {
    /// The revision that the move made.
    pub revision: i64,
    /// The model.
    pub model: Name,
    /// The alias.
    pub alias: Name,
    /// The version that it pointed at before; none when it was new.
    pub from: Option<u32>,
    /// The version that it pointed at after.
    pub to: u32,
    /// When.
    pub moved_at: Timestamp,
    /// What its gate found; none of a move that is older than gates.
    #[serde(default)]
    pub evidence: Option<GateReport>,
    /// Why it was moved although its gate refused.
    #[serde(default)]
    pub override_reason: Option<String>,
}
