//! `serve`.

use anyhow::Result;
use hitherto_server::{Options, Server};

use crate::args::Global;
use crate::config::Config;
use crate::output;
use crate::run::interrupted;
use crate::stores::{self, Use};

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of gRPC; loopback only [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of health and metrics; loopback only [default: 127.0.0.1:7421]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
}

/// Serve until interrupted or terminated; requests in flight finish.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let options = Options {
        listen: stores::loopback(args.listen.as_ref().unwrap_or(&config.listen))?,
        http: stores::loopback(args.http.as_ref().unwrap_or(&config.http))?,
        follow: config.follow,
        allowed_urls: config.allowed_urls.clone(),
        requests: config.requests,
        pushes: config.pushes,
        slow_request: config.slow_request,
        round_trips_max: config.round_trips_max,
    };
    let engine = stores::open(config, Use::WriteOnline, global.clock).await?;
    if let Some(clock) = global.clock {
        output::note(format!("the clock is pretended: it stands still at {clock}"));
    }
    let server = Server::bind(engine, options).await?.with_store_options(stores::cloud_options());
    output::note(format!("gRPC on {}, health and metrics on http://{}", server.grpc_address(), server.http_address()));
    server.run(interrupted()).await?;
    output::note("stopped");
    Ok(())
}
