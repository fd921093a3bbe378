//! Killed at any moment, commands leave whole batches and files and nothing lost. A seed decides when; `HITHERTO_KILLS=1000`
//! makes it that many kills a verb.

mod compact;
mod ingest;
mod listing;
mod materialize;
mod push;
mod training_set;

use std::time::{Duration, Instant};

use crate::support::Hitherto;
use crate::support::Ran;
use crate::support::process::Running;
use crate::support::random::Random;

/// How many kills a verb gets: `usual` ones, or what HITHERTO_KILLS says, for a longer look.
fn kills(usual: usize) -> usize {
    std::env::var("HITHERTO_KILLS").ok().map_or(usual, |kills| kills.parse().expect("HITHERTO_KILLS is a number"))
}

/// When a command is killed.
#[derive(Clone, Copy, Debug)]
struct Moment<Stage> {
    /// After the first sign of this; from the start where there is none.
    stage: Option<Stage>,
    /// So long after it.
    after: Duration,
}

/// Where kills fell, by what they left behind.
#[derive(Debug, Default)]
struct Tally {
    /// Nothing of the work was begun.
    before: usize,
    /// The work was half done.
    inside: usize,
    /// The work was done, and the process not yet at its end.
    after: usize,
    /// The process had ended by itself.
    ended: usize,
}

impl Tally {
    /// The kills that were kills.
    fn kills(&self) -> usize {
        self.before + self.inside + self.after
    }
}

/// Start `line` and kill it at `moment`, `seen` being asked for signs again and again.
fn kill_at<Stage: Copy>(
    place: &Hitherto,
    line: &str,
    moment: Moment<Stage>,
    mut seen: impl FnMut(Stage) -> bool,
) -> Ran {
    let mut running = place.start(line);
    if let Some(stage) = moment.stage {
        while !seen(stage) && !running.has_ended() {
            std::thread::yield_now();
        }
    }
    let sign = Instant::now();
    while sign.elapsed() < moment.after && !running.has_ended() {
        std::thread::yield_now();
    }
    Running::kill(running)
}

/// For whoever runs it with `--nocapture`.
#[expect(clippy::print_stderr, reason = "where kills fall is worth a look, and differs from machine to machine")]
fn tell(tally: &str) {
    eprintln!("{tally}");
}

/// Half of the kills come at any time of a run that takes `usual`, the others soon after a sign of a stage.
fn moment<Stage: Copy>(random: &mut Random, stages: &[Stage], usual: Duration) -> Moment<Stage> {
    if random.percent(50) {
        return Moment { stage: None, after: random.within(usual) };
    }
    let stage = stages[random.below(stages.len() as u64) as usize];
    Moment { stage: Some(stage), after: random.within(usual / 16) }
}
