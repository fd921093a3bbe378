//! Reading features.

use hitherto_proto::{Features, GetFeatures};

use crate::{Client, Result};

impl Client {
    /// Reads the features of a feature set or a model, for many rows: columns in the set's order, rows in the request's.
    pub async fn get_features(&self, wanted: GetFeatures) -> Result<Features> {
        let call = self.call("get features");
        call.receive(self.online_features_service().get_features(call.send(wanted)?).await)
    }
}
