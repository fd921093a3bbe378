//! Reading features.

use hitherto_proto::{Features, GetFeatures};

use crate::{Client, Result};

impl Client {
    /// Reads the features of a feature set or a model, for many rows: columns in the set's order, rows in the request's.
    ///
    /// With [`AnswerFormat::Arrow`](crate::AnswerFormat::Arrow) the values are in [`Features::arrow`], as an Arrow IPC stream
    /// of one record batch; any reader of such streams opens it (`arrow::ipc::reader::StreamReader`, `pyarrow.ipc.open_stream`).
    ///
    /// The client's timeout travels along: the server drops what has not been answered by then.
    pub async fn get_features(&self, wanted: GetFeatures) -> Result<Features> {
        let call = self.call("get features");
        call.receive(self.online_features_service().get_features(call.send(wanted)?).await)
    }
}
