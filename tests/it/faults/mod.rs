//! A fault run: readers and writers go on while what they depend on is paused, killed, emptied, replaced, rebuilt, moved. An
//! oracle knows what was acknowledged when, and so what each answer may be: every one is right, or says that it is not.
//!
//! Here each fault strikes once. `HITHERTO_FAULTS=20` makes it that many times, and a hundred rebuilds; `benches/faults.py` does
//! so in release mode and makes a table of the lines that the tests print.

mod deployments;
mod failover;
mod heal;
mod history;
mod load;
mod oracle;
mod outages;
mod rebuilds;

use std::time::Duration;

use hitherto_online::{Marks, Reading};
use serde_json::json;

use self::load::{READERS, Tally};
use self::oracle::{Row, VIEWS};
use crate::support::Hitherto;

/// Of each view, unless a test needs more.
const KEYS: i64 = 100;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: near
entity: thing
features: {version: int64, digest: int64, text: string}
---
kind: feature_view
name: far
entity: thing
features: {version: int64, digest: int64, text: string}
---
kind: feature_set
name: one_way
features: ['near:*', 'far:*']
---
kind: feature_set
name: other_way
features: ['far:*', 'near:*']
";

/// How often a fault strikes: once, or what HITHERTO_FAULTS says, for a longer look.
fn strikes() -> Option<u64> {
    std::env::var("HITHERTO_FAULTS").ok().map(|strikes| strikes.parse().expect("HITHERTO_FAULTS is a number"))
}

/// A folder whose online store is at `url`, with the first row of every key in both stores, and `m@champion` at `m@1`, which reads
/// the one set; `m@2` reads the other.
fn filled(url: &str, follow: &str, keys: i64) -> Hitherto {
    let place = Hitherto::new();
    place.write("hitherto.toml", format!("[online]\nurl = \"{url}\"\nfollow = \"{follow}\"\n"));
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    for (view, name) in VIEWS.iter().enumerate() {
        let lines: String = (0..keys).map(|key| Row::first(view, key).line()).collect();
        place.write("first.csv", Row::head() + &lines);
        place.ok(&format!("ingest {name} first.csv --to both"));
    }
    place.ok("model register m --feature-set one_way");
    place.ok("model register m --feature-set other_way");
    place.ok("model alias m@1 champion");
    place
}

/// What has reached the store at `url` of each view.
async fn marks(place: &Hitherto, url: &str) -> Vec<Option<Marks>> {
    let readings = VIEWS.map(|view| Reading::new(&format!("{view}-1"), "0s".parse().expect("a duration")));
    place.online(Some(url)).marks(&readings).await.expect("it answers")
}

/// How long it took, each time, until all was well again.
struct Report {
    fault: &'static str,
    taken: Vec<Duration>,
    tally: Tally,
}

impl Report {
    /// A line for whoever runs it with `--nocapture`, and for `benches/faults.py`.
    #[expect(clippy::print_stderr, reason = "how long it takes is worth a look, and differs from machine to machine")]
    fn tell(mut self) {
        self.taken.sort();
        let ms = |taken: &Duration| taken.as_micros() as f64 / 1000.0;
        let line = json!({
            "fault": self.fault,
            "times": self.taken.len(),
            "readers": READERS,
            "recovery_ms": {
                "median": self.taken.get(self.taken.len() / 2).map(ms),
                "max": self.taken.last().map(ms),
            },
            "answered": self.tally.fresh,
            "stale": self.tally.stale,
            "refused": self.tally.refused,
            "pushed": self.tally.pushed,
            "pushes_refused": self.tally.push_refused,
        });
        eprintln!("fault run: {line}");
    }
}
