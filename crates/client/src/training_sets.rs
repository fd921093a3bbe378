//! Training sets.

use hitherto_core::Dataset;
use hitherto_proto::{NewTrainingSet, v1};

use crate::{Client, Result};

impl Client {
    /// Builds a training set, and answers when its file is written: within [`Timeouts::training_set`].
    ///
    /// [`Timeouts::training_set`]: crate::Timeouts::training_set
    pub async fn create_training_set(&self, wanted: NewTrainingSet) -> Result<Dataset> {
        let call = self.call("create a training set").within(self.timeouts.training_set);
        call.receive(self.training_sets_service().create(call.send(wanted)?).await)
    }

    /// The manifest of a training set, by its id, the beginning of one that is unique, or its name.
    pub async fn training_set(&self, dataset: &str) -> Result<Dataset> {
        let call = self.call("get a training set");
        let request = call.send_message(v1::GetTrainingSetRequest { dataset: dataset.to_owned() });
        call.receive(self.training_sets_service().get(request).await)
    }

    /// Every training set's manifest, in the order in which they were first built.
    pub async fn training_sets(&self) -> Result<Vec<Dataset>> {
        let call = self.call("list training sets");
        let request = call.send_message(v1::ListTrainingSetsRequest {});
        call.receive_all(call.receive_message(self.training_sets_service().list(request).await)?.datasets)
    }
}
