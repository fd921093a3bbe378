//! `serve`.

use anyhow::Result;
use hitherto_server::{Options, Server, SqlLimits};

use crate::args::Global;
use crate::config::Config;
use crate::run::interrupted;
use crate::stores::{self, Use};
use crate::{output, telemetry};

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of gRPC; beyond loopback only with server.tls and server.auth [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of health and metrics; beyond loopback only with the same [default: 127.0.0.1:7421]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Address of PostgreSQL's protocol; beyond loopback only with the same [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    postgres: Option<String>,
}

/// Serve until interrupted or terminated; requests in flight finish.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let options = Options {
        listen: stores::address(args.listen.as_ref().unwrap_or(&config.listen))?,
        http: stores::address(args.http.as_ref().unwrap_or(&config.http))?,
        postgres: args.postgres.as_ref().or(config.postgres.as_ref()).map(|text| stores::address(text)).transpose()?,
        follow: config.follow,
        compact_after: config.compact_after,
        upkeep: config.upkeep,
        allowed_urls: config.allowed_urls.clone(),
        sql: SqlLimits { timeout: config.sql_timeout, rows_max: config.sql_rows_max, at_once: config.sql_at_once },
        auth: config.auth,
        tls: config.tls.clone(),
        requests: config.requests,
        pushes: config.pushes,
        slow_request: config.slow_request,
        round_trips_max: config.round_trips_max,
        connections_max: config.connections_max,
        postgres_connections_max: config.postgres_connections_max,
    };
    // before a store is made
    options.check()?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let engine = stores::open(config, Use::WriteOnline, global.clock).await?;
    if let Some(clock) = global.clock {
        output::note(format!("the clock is pretended: it stands still at {clock}"));
    }
    let server = Server::bind(engine, options).await?.with_store_options(stores::cloud_options());
    let server = server.with_traces(telemetry::traces());
    let (grpc, http) = (server.grpc_address(), server.http_address());
    if let Some(postgres) = server.postgres_address() {
        output::note(format!("PostgreSQL on {postgres}"));
    }
    output::note(format!("gRPC on {grpc}, health and metrics on {scheme}://{http}"));
    server.run(interrupted()).await?;
    output::note("stopped");
    Ok(())
}
