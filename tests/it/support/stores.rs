//! The stores that the binary made, opened by the test itself, beside it.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use hitherto_core::{Name, Timestamp};
use hitherto_engine::{Clock, Engine};
use hitherto_offline::OfflineStore;
use hitherto_online::OnlineStore;

use super::Hitherto;

impl Hitherto {
    /// The project's name.
    pub(crate) fn project() -> Name {
        "default".parse().expect("a name")
    }

    /// An engine on the registry and history of the folder, with this online store.
    pub(crate) async fn engine(&self, online: Option<Arc<dyn OnlineStore>>, clock: Clock) -> Engine {
        let at = |name: &str| self.path(".hitherto").join(name).display().to_string();
        let registry = hitherto_registry::open(&format!("sqlite://{}", at("registry.db")), &Self::project()).await;
        let offline = OfflineStore::open(&format!("file://{}", at("offline")), [("", ""); 0]).expect("a store");
        Engine::new(Self::project(), registry.expect("a registry"), offline, online, clock)
    }

    /// The online store at `url`, or the embedded one in the folder; made if it is not there.
    pub(crate) fn online(&self, url: Option<&str>) -> Arc<dyn OnlineStore> {
        let embedded = format!("embedded://{}", self.path(".hitherto/online").display());
        hitherto_online::open(url.unwrap_or(&embedded), &Self::project()).expect("an online store")
    }
}

/// The integers that a query answers, row by row.
pub(crate) async fn integers(engine: &Engine, query: &str) -> Vec<Vec<i64>> {
    let answer = engine.sql(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    let batches: Vec<_> = answer.try_collect().await.unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<_> = batch.columns().iter().map(AsArray::as_primitive::<Int64Type>).collect();
        assert!(columns.iter().all(|column| column.null_count() == 0), "{query}: a null");
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row)).collect()));
    }
    rows
}

/// A moment in 2024, so many seconds after its beginning.
pub(crate) fn moment(seconds: i64) -> Timestamp {
    Timestamp((1_704_067_200 + seconds) * 1_000_000)
}
