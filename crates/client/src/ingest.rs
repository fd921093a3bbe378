//! Pushing rows.

use hitherto_proto::{Push, Pushed};

use crate::{Client, Result};

impl Client {
    /// Appends a batch of rows to a feature view, all or none.
    ///
    /// Never sent twice by itself. With a batch id it may be sent again after any error; without one it must not be
    /// after [`Error::TimedOut`](crate::Error::TimedOut) or [`Error::Lost`](crate::Error::Lost).
    pub async fn push(&self, push: Push) -> Result<Pushed> {
        let call = self.call("push rows");
        call.receive(self.ingest_service().push(call.send(push)?).await)
    }
}
