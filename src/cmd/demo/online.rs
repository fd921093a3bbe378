//! A server at a pretended now, a read over gRPC, and the offline rule at the same moment beside it.

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use hitherto_client::Credentials;
use hitherto_core::{Selector, Timestamp};
use hitherto_engine::Spine;
use hitherto_server::{Auth, Options, Server, SqlLimits};
use std::sync::Arc;

use super::{NOW, hitherto, typed};
use crate::config::Config;
use crate::output::{line, thousands};
use crate::stores::{self, Use};

/// Three aircraft: one that has just landed, one in the air, one that nobody has seen.
const AIRCRAFT: [[&str; 3]; 3] = [["N14228", "EWR", "UA"], ["N3ALAA", "LGA", "AA"], ["N00000", "JFK", "B6"]];

pub(super) async fn serve_and_compare(config: &Config) -> Result<()> {
    let now: Timestamp = NOW.parse()?;
    let engine = stores::open(config, Use::WriteOnline, Some(now)).await?;
    let options = Options {
        listen: stores::address("127.0.0.1:0")?,
        http: stores::address("127.0.0.1:0")?,
        postgres: None,
        follow: config.follow,
        compact_after: config.compact_after,
        upkeep: config.upkeep,
        allowed_urls: Vec::new(),
        auth: Auth::None,
        tls: None,
        sql: SqlLimits::default(),
        requests: config.requests,
        pushes: config.pushes,
        slow_request: config.slow_request,
        round_trips_max: config.round_trips_max,
        connections_max: config.connections_max,
        postgres_connections_max: config.postgres_connections_max,
    };
    let server = Server::bind(engine.clone(), options).await?;
    let address = server.grpc_address();
    typed(&format!("serve --listen {address} --clock {NOW} &"))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let entities =
        AIRCRAFT.map(|[tailnum, origin, carrier]| format!("tailnum={tailnum},origin={origin},carrier={carrier}"));
    let url = format!("http://{address}");
    let flags: Vec<String> = entities.iter().map(|entity| format!("--entity {entity}")).collect();
    let flags = flags.join(" ");
    hitherto(&format!("get --server {url} --model late_flights@champion {flags}")).await?;

    let rows: Vec<_> = entities.iter().map(|entity| super::super::get::row_of_flag(entity)).collect::<Result<_>>()?;
    let consumer = hitherto_engine::Consumer::Model("late_flights@champion".parse::<Selector>()?);
    let online = super::super::get_remote::lookup(&url, &Credentials::default(), consumer, None, &rows).await?;
    let offline = engine.features_at("late_arrival".parse()?, &Spine::Batches(spine(now)?)).await?;
    compare(&online, &offline)?;
    // a server that has ended already needs no word
    let _ = stop.send(());
    running.await.context("the server stopped badly")??;
    Ok(())
}

/// The three aircraft as a spine at the pretended now.
fn spine(now: Timestamp) -> Result<RecordBatch> {
    let column = |index: usize| -> ArrayRef { Arc::new(StringArray::from_iter_values(AIRCRAFT.map(|row| row[index]))) };
    let times = TimestampMicrosecondArray::from_value(now.0, AIRCRAFT.len()).with_timezone("UTC");
    let times: ArrayRef = Arc::new(times);
    let columns = [("tailnum", column(0)), ("origin", column(1)), ("carrier", column(2)), ("event_timestamp", times)];
    Ok(RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))?)
}

fn compare(online: &hitherto_engine::Lookup, offline: &RecordBatch) -> Result<()> {
    let mut same = 0;
    for column in &online.columns {
        let array =
            offline.column_by_name(&column.name).with_context(|| format!("{} is missing offline", column.name))?;
        let ours = hitherto_offline::ColumnReader::try_new(array.as_ref(), &column.value_type)?;
        for (row, (online, offline)) in column.values.iter().zip(ours.values()).enumerate() {
            if *online != offline {
                bail!("{} of row {} is {online:?} online and {offline:?} offline", column.name, row + 1);
            }
            same += 1;
        }
    }
    line("")?;
    line(format!(
        "The offline rule at {NOW} gives the same: {} of {} values are equal.",
        thousands(same),
        thousands(same)
    ))
}
