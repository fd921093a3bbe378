//! What a training set took, for people.

use std::time::Duration;

use hitherto_engine::{Explanation, Part, ViewExplanation};

use crate::output::{note, thousands};
use crate::size::Size;

/// Write it to stderr: a line for the whole, a line a view.
pub(super) fn show(explanation: &Explanation) {
    let Explanation { spine_rows, bands, reserved_bytes_max, index_time, output_time, views } = explanation;
    note(format!(
        "spine: {} rows in {bands} {}, {} of memory at most, indexed in {}, put together in {}",
        thousands(*spine_rows as u64),
        if *bands == 1 { "band" } else { "bands" },
        Size(*reserved_bytes_max),
        seconds(*index_time),
        seconds(*output_time),
    ));
    for view in views {
        note(line(view));
    }
}

fn line(view: &ViewExplanation) -> String {
    format!(
        "{}: files {}, row groups {}{}, rows in pages {}; {} rows probed, {} seen by some row, {} winners; {} read; \
         narrow pass {}, winners {}, payload {}",
        view.alias,
        part(view.files),
        part(view.groups),
        by_bloom(view.bloom_groups_skipped),
        part(view.rows),
        thousands(view.probed_rows as u64),
        thousands(view.candidate_rows as u64),
        thousands(view.winner_rows as u64),
        Size(view.bytes_read),
        seconds(view.narrow_time),
        seconds(view.resolve_time),
        seconds(view.fetch_time),
    )
}

/// What bloom filters alone have ruled out, if they have.
fn by_bloom(groups: usize) -> String {
    match groups {
        0 => String::new(),
        _ => format!(" ({} skipped by bloom filters)", thousands(groups as u64)),
    }
}

/// `3 of 12`: what was read of all.
fn part(part: Part) -> String {
    format!("{} of {}", thousands((part.total - part.skipped) as u64), thousands(part.total as u64))
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
