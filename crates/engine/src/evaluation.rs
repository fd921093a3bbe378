//! `model evaluate`: what a model version was measured with; and verdicts on training sets.

use hitherto_core::{Evaluation, Grader, NewEvaluation, Selector, StoredVerdict};

use crate::{Engine, Result};

impl Engine {
    /// Attach an evaluation to a model version; it never changes afterwards. The dataset that it names, by id, prefix or
    /// name, must be recorded, and so must a model version that graded it.
    pub async fn evaluate(&self, model: &Selector, mut new: NewEvaluation) -> Result<Evaluation> {
        let found = self.registry().model(model).await?;
        if let Some(wanted) = &new.dataset {
            new.dataset = Some(self.registry().dataset(wanted).await?.id);
        }
        if let Some(Grader::Model(judge)) = &new.grader {
            self.registry().model(&Selector::Version(judge.clone())).await?;
        }
        let now = self.clock().now();
        let recorded = self.registry().record_evaluation(&found.name, found.version, new, now).await?;
        self.anchor().await;
        Ok(recorded)
    }

    /// Remember what was found of a training set, whose full id the verdict names; it never changes afterwards.
    pub async fn record_verdict(&self, verdict: &StoredVerdict) -> Result<()> {
        self.registry().record_verdict(verdict).await?;
        self.anchor().await;
        Ok(())
    }
}
