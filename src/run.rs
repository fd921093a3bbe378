//! From arguments to an exit code: 0 done, 1 failed, 2 wrong usage.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::allocator::bound_heaps;
use crate::args::{Cli, Command};
use crate::config::Config;
use crate::{cmd, events, output};

/// The stack of each thread that works. SQL is planned by recursion, and a text's height is bounded so that this is enough.
const STACK_BYTES: usize = 16 << 20;

/// Parse the arguments, run the command, report what went wrong.
pub fn run() -> ExitCode {
    bound_heaps();
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("HITHERTO_LOG").unwrap_or_else(|_| EnvFilter::new("warn,hitherto=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let serves = matches!(cli.command, Command::Serve(_));
    let done = runtime.block_on(async {
        let _refused = survive_file_size_limits();
        let mut work = std::pin::pin!(dispatch(cli));
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
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
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
