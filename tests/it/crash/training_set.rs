//! Kills of `training-set`: the file is whole, or what was there before.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::{Tally, kill_at, kills, moment, tell};
use crate::support::Hitherto;
use crate::support::process::{Running, signal, until};
use crate::support::random::Random;
use crate::support::readings::NOTED_READINGS;

const KEYS: u64 = 500;
const ROWS: u64 = 20_000;

/// The memory limit makes several bands of the spine, so that rows are written while history is read.
const LINE: &str = "training-set --feature-set latest --spine spine.csv --out out.parquet --fresh --memory-limit 1MiB";

/// What the folder shows of a training set at work.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Rows are being written.
    Staged,
    /// The file is in its place.
    Placed,
}

/// A history, a spine, and the training set that they give.
fn laid_out() -> (Hitherto, Vec<u8>) {
    let place = Hitherto::new();
    place.write("definitions.yaml", NOTED_READINGS);
    place.ok("apply -f definitions.yaml");
    place.write("rows.csv", rows("k,event_timestamp,v,note", ROWS, |row| format!("{row},note {row}")));
    place.write("spine.csv", rows("k,event_timestamp,label", ROWS, |row| (row % 2).to_string()));
    place.ok("ingest readings rows.csv");
    place.ok(LINE);
    let whole = fs::read(place.path("out.parquet")).expect("the training set");
    (place, whole)
}

fn rows(heading: &str, count: u64, rest: impl Fn(u64) -> String) -> String {
    let mut text = format!("{heading}\n");
    for row in 0..count {
        let (minute, second) = (row / 60 % 60, row % 60);
        writeln!(text, "{},2024-01-01T00:{minute:02}:{second:02}Z,{}", row * 7 % KEYS, rest(row)).expect("memory");
    }
    text
}

/// Names in the folder of files that are being written, or were when their writer was killed.
fn staged(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map_while(Result::ok);
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("out.parquet#")).collect()
}

#[test]
fn a_killed_training_set_leaves_the_whole_file_or_what_was_there() {
    let (place, whole) = laid_out();
    let begun = Instant::now();
    place.ok(LINE);
    let usual = begun.elapsed();
    let out = place.path("out.parquet");
    let random = &mut Random::new(0x7a17);
    let mut tally = Tally::default();
    while tally.kills() < kills(200) {
        let before = random.percent(50).then(|| b"precious".to_vec());
        match &before {
            Some(bytes) => fs::write(&out, bytes).expect("a file"),
            None => drop(fs::remove_file(&out)),
        }
        let now = || fs::read(&out).ok();
        let moment = moment(random, &[Stage::Staged, Stage::Placed], usual);
        let ran = kill_at(&place, LINE, moment, |stage| match stage {
            Stage::Staged => !staged(place.folder()).is_empty(),
            Stage::Placed => now() != before,
        });
        let left = now();
        assert!(left == before || left.as_ref() == Some(&whole), "{moment:?} left another file");
        match (ran.code, left == before, staged(place.folder()).is_empty()) {
            (0, false, _) => tally.ended += 1,
            (-1, false, _) => tally.after += 1,
            (-1, true, false) => tally.inside += 1,
            (-1, true, true) => tally.before += 1,
            _ => panic!("{moment:?}: it was killed, or did it fail? {ran:?}"),
        }
        for name in staged(place.folder()) {
            fs::remove_file(place.path(&name)).expect("a file that nobody writes any more");
        }
        // the registry is well, and its dataset is the file that was built first
        if random.percent(10) {
            place.ok(LINE);
            assert_eq!(now().as_ref(), Some(&whole));
            assert_eq!(place.ok("dataset list").lines().count(), 2, "one dataset, however often it is built");
        }
    }
    assert!(tally.inside >= kills(200) / 10, "too few kills fell inside: {tally:?}");
    tell(&format!("training-set: {tally:?}, which takes {usual:?}"));
}

#[test]
fn an_interrupted_training_set_leaves_nothing_behind() {
    let (place, whole) = laid_out();
    let out = place.path("out.parquet");
    let mut interrupted = 0;
    for name in ["INT", "TERM"].into_iter().cycle().take(20) {
        fs::write(&out, "precious").expect("a file");
        let mut running = place.start(LINE);
        let shown = until("it writes, or has ended", || {
            if staged(place.folder()).is_empty() { running.has_ended().then_some(false) } else { Some(true) }
        });
        if shown {
            signal(name, running.id());
        }
        let ran = Running::wait(running);
        assert_eq!(staged(place.folder()), Vec::<String>::new(), "{ran:?}");
        let left = fs::read(&out).expect("a file");
        if ran.code == 0 {
            assert_eq!(left, whole);
            continue;
        }
        interrupted += 1;
        assert_eq!((left.as_slice(), ran.code), (&b"precious"[..], 1), "{ran:?}");
        assert_eq!(ran.stderr, "error: interrupted; nothing was left half done\n");
    }
    assert!(interrupted > 0, "every run was over before it could be interrupted");
}
