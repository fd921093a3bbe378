//! The load generator as a command: what became of its requests goes to stdout, as JSON.
//!
//! A program of its own, and no part of the product: it has flags, and reads the clock of intervals.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hitherto_client::load::{
    Arrivals, Error, Keys, Pace, Plan, Popularity, Pushes, Reads, Report, Target, Watched, run,
};
use hitherto_core::{Name, Selector};

/// Make load on a running server, and report what became of the requests as JSON.
///
/// Without --rate it is a closed loop: each connection sends its next request when the last one is answered, which finds
/// the capacity. With --rate it is an open loop: requests start when they are due, whatever became of those before, and
/// latencies count from then. Keys are the integers from 0 to --keys.
#[derive(Debug, Parser)]
#[command(name = "hitherto-load", version, max_term_width = 110)]
struct Arguments {
    /// The server
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:7420")]
    server: String,
    /// Connections
    #[arg(long, global = true, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// Requests in flight on each connection, in a closed loop
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    in_flight: usize,
    /// Requests to start a second, in an open loop
    #[arg(long, global = true, value_name = "N", value_parser = above_zero)]
    rate: Option<f64>,
    /// How requests of an open loop lie in time
    #[arg(long, global = true, value_enum, default_value = "poisson")]
    arrivals: Lie,
    /// Seconds before requests count
    #[arg(long, global = true, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds in which they count
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// A last part of these that is reported apart
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    last: Option<Duration>,
    /// How long an answer is waited for
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// How many keys there are
    #[arg(long, global = true, value_name = "N", default_value_t = 10_000)]
    keys: u64,
    /// Ask for keys by Zipf's law with this exponent, instead of each as often
    #[arg(long, global = true, value_name = "EXPONENT", value_parser = above_zero)]
    zipf: Option<f64>,
    /// Decides which keys and values come, and when
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A process whose processor time is told, such as server=1234; this one is told as `client`
    #[arg(long, global = true, value_name = "NAME=PID", value_parser = watched)]
    watch: Vec<Watched>,
    /// What is sent.
    #[command(subcommand)]
    what: What,
}

/// What is sent.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Read a feature set
    Get {
        /// The feature set
        #[arg(long, value_name = "NAME")]
        feature_set: Selector,
        /// Entities in each request
        #[arg(long, value_name = "N", default_value_t = 1)]
        entities: usize,
        /// Leave answers as the bytes that they are: a client that costs as little as one can
        #[arg(long)]
        unread: bool,
    },
    /// Push rows, one a request, and read each until it is there
    Push {
        /// The feature view
        #[arg(long, value_name = "NAME")]
        view: Name,
        /// A feature set that reads it
        #[arg(long, value_name = "NAME")]
        feature_set: Selector,
    },
}

/// How requests lie in time.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Lie {
    /// As far from each other
    Even,
    /// As from callers that know nothing of each other
    Poisson,
}

// one thread: it shares the machine with the server, and a second one would have to be woken
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let report = match make(Arguments::parse()).await {
        Ok(report) => report,
        Err(error) => return failed(error),
    };
    let text = match serde_json::to_string_pretty(&report) {
        Ok(text) => text,
        Err(error) => return failed(error),
    };
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        return failed(error);
    }
    if report.answered == 0 {
        return failed("no request was answered");
    }
    ExitCode::SUCCESS
}

async fn make(arguments: Arguments) -> Result<Report, Error> {
    let popularity = arguments.zipf.map_or(Popularity::Uniform, Popularity::Zipf);
    let target = Target {
        url: arguments.server,
        connections: arguments.connections,
        timeout: arguments.timeout,
        keys: Keys::new(arguments.keys, popularity),
        seed: arguments.seed,
    };
    let arrivals = match arguments.arrivals {
        Lie::Even => Arrivals::Even,
        Lie::Poisson => Arrivals::Poisson,
    };
    let mut watched = arguments.watch;
    if cfg!(target_os = "linux") {
        watched.push(Watched { name: "client".to_owned(), pid: None });
    }
    let plan = Plan {
        pace: match arguments.rate {
            None => Pace::Closed { in_flight: arguments.in_flight },
            Some(rate) => Pace::Open { rate, arrivals, seed: arguments.seed },
        },
        warm_up: arguments.warm_up,
        measured: arguments.seconds,
        last: arguments.last,
        watched,
    };
    match arguments.what {
        What::Get { feature_set, entities, unread } => {
            let reads = Reads::connect(&target, &feature_set, entities).await?;
            run(&plan, if unread { reads.unread() } else { reads }).await
        }
        What::Push { view, feature_set } => run(&plan, Pushes::connect(&target, &view, &feature_set).await?).await,
    }
}

fn failed(error: impl Display) -> ExitCode {
    // stderr may be closed, and there is nowhere left to say so
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| format!("{error}"))?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("it must be above 0".to_owned()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn watched(text: &str) -> Result<Watched, String> {
    let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, pid) = named.ok_or("write it like server=1234")?;
    let pid = pid.parse::<u32>().map_err(|error| format!("{error}"))?;
    Ok(Watched { name: name.to_owned(), pid: Some(pid) })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_mean_what_they_say() {
        let line =
            "hitherto-load --rate 2.5 --last 60 get --feature-set s@2 --seconds 0.5 --watch server=7 --watch redis=8";
        let read = Arguments::try_parse_from(line.split(' ')).expect("they are right");
        assert_eq!(
            (read.rate, read.last, read.seconds),
            (Some(2.5), Some(Duration::from_mins(1)), Duration::from_millis(500))
        );
        assert_eq!(read.watch[1], Watched { name: "redis".to_owned(), pid: Some(8) });
        assert!(
            matches!(&read.what, What::Get { feature_set, entities: 1, unread: false } if feature_set.to_string() == "s@2")
        );
        for wrong in
            ["--rate 0 get --feature-set s", "--zipf nan get --feature-set s", "--watch 7 get --feature-set s", "get"]
        {
            let line = format!("hitherto-load {wrong}");
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{wrong} must be refused");
        }
    }
}
