//! From arguments to an exit code: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{Instrument, Span};

use crate::allocator::bound_heaps;
use crate::args::{Cli, Command};
use crate::config::Config;
use crate::telemetry::Sending;
use crate::{cmd, events, output, telemetry};

/// The stack of each thread that works. SQL is planned by recursion, and a text's height is bounded so that this is enough.
const STACK_BYTES: usize = 16 << 20;

/// Parse the arguments, run the command, report what went wrong.
pub fn run() -> ExitCode {
    bound_heaps();
    let cli = Cli::parse();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let (serves, verb) = (matches!(cli.command, Command::Serve(_)), traced_verb(&cli.command));
    let sending = {
        // spans are sent on the runtime
        let _entered = runtime.enter();
        match begin_telemetry(&cli) {
            Ok(sending) => sending,
            Err(error) => return failed(&error),
        }
    };
    let span = verb.map_or_else(Span::none, telemetry::command_span);
    let done = runtime.block_on(async {
        let _refused = survive_file_size_limits();
        let mut work = std::pin::pin!(dispatch(cli).instrument(span.clone()));
        // a server has an end of its own, in which requests in flight finish
        if serves {
            return work.await;
        }
        loop {
            tokio::select! {
                done = &mut work => return done,
                // what is dropped half done takes its unfinished files along
                () = interrupted() => if !events::take_interruption() {
                    return Err(anyhow!("interrupted; nothing was left half done"));
                },
            }
        }
    });
    if done.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    drop(span);
    if let Some(sending) = sending {
        sending.end();
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The name of a command whose run is a span: those that may take long. A server has spans of its own.
fn traced_verb(command: &Command) -> Option<&'static str> {
    match command {
        Command::Ingest(_) => Some("hitherto ingest"),
        Command::TrainingSet(_) => Some("hitherto training-set"),
        Command::Materialize(_) => Some("hitherto materialize"),
        _ => None,
    }
}

/// Has the log written, and spans sent where the configuration says so and the command has any.
fn begin_telemetry(cli: &Cli) -> Result<Option<Sending>> {
    let config = if matches!(cli.command, Command::Serve(_)) || traced_verb(&cli.command).is_some() {
        // what is wrong with it, the command says when it reads it
        Config::load(&std::env::current_dir()?, cli.global.config.as_deref()).ok()
    } else {
        None
    };
    let Some((telemetry, project)) = config.and_then(|config| Some((config.telemetry?, config.project))) else {
        telemetry::log();
        return Ok(None);
    };
    Sending::begin(&telemetry, &project).map(Some)
}

/// Completes on Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        drop(interrupt.await);
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

/// A write beyond a limit on the size of files raises this signal, which ends a process that does not listen for it;
/// listened for, the write fails like any other, and what it was for is told.
fn survive_file_size_limits() -> Option<Signal> {
    const SIGXFSZ: i32 = 25;
    signal(SignalKind::from_raw(SIGXFSZ)).ok()
}

/// Every cause once: a message that repeats its source is not printed twice.
fn failed(error: &anyhow::Error) -> ExitCode {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    output::note(format!("error: {text}"));
    ExitCode::FAILURE
}

pub(crate) async fn dispatch(cli: Cli) -> Result<()> {
    let global = cli.global;
    if let Command::Demo(args) = cli.command {
        return cmd::demo::run(args, &global).await;
    }
    let config = Config::load(&std::env::current_dir()?, global.config.as_deref())?;
    match cli.command {
        Command::Demo(_) => Ok(()),
        Command::Plan(args) => cmd::apply::plan(args, &config, &global).await,
        Command::Apply(args) => cmd::apply::apply(args, &config, &global).await,
        Command::List(args) => cmd::list::run(args, &config, &global).await,
        Command::Describe(args) => cmd::describe::run(args, &config, &global).await,
        Command::Ingest(args) => cmd::ingest::run(args, &config, &global).await,
        Command::TrainingSet(args) => cmd::training_set::run(args, &config, &global).await,
        Command::Dataset(args) => cmd::dataset::run(args, &config, &global).await,
        Command::Materialize(args) => cmd::materialize::run(args, &config, &global).await,
        Command::Get(args) => cmd::get::run(args, &config, &global).await,
        Command::Model(args) => cmd::model::run(args, &config, &global).await,
        Command::Audit(args) => cmd::audit::run(args, &config, &global).await,
        Command::Lineage(args) => cmd::lineage::run(args, &config, &global).await,
        Command::Compact(args) => cmd::compact::run(args, &config, &global).await,
        Command::Vacuum(args) => cmd::vacuum::run(args, &config, &global).await,
        Command::Erase(args) => cmd::erase::run(args, &config, &global).await,
        Command::Token(args) => cmd::token::run(args, &config, &global).await,
        Command::Sql(args) => cmd::sql::run(args, &config, &global).await,
        Command::Serve(args) => cmd::serve::run(args, &config, &global).await,
    }
}
