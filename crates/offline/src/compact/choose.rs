//! Which files a compaction rewrites.
//!
//! Let S be the rows of fresh files, and r1 <= r2 <= … those of the runs. All fresh files are rewritten, and with them
//! the longest beginning r1 … rk of the runs in which the last is no larger than all before it and S together. So
//!
//! - a run that is rewritten becomes part of one at least twice as large: a row is rewritten at most once for every
//!   doubling of what it lies with, log2(n) times in all, whatever comes in which order;
//! - what is left grows faster than by doubling: there are at most log2(n) + 1 runs;
//! - a table that was just compacted has nothing to do.
//!
//! Rows are what is counted, because a rewrite keeps their number. It changes bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::DataFile;

/// How much a compaction takes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The same as [`Reach::Small`] up to [`Reach::QUICK_BYTES_MAX`] in all, without files and runs of more than half of that: what
    /// is done beside pushes, again and again, while they go on adding files.
    Quick,
    /// What [`Reach::Quick`] leaves, and nothing else, up to [`Reach::SMALL_BYTES_MAX`] in all. It takes seconds, in which the
    /// quick one of this process or another comes and goes many times: neither takes anything from the other.
    Rest,
    /// Fresh files that are small, and runs that are small beside them, up to [`Reach::SMALL_BYTES_MAX`] in all: what an
    /// ingest does by itself, in a time that has a bound.
    Small,
    /// All fresh files, and runs that are small beside them.
    #[default]
    New,
    /// Everything, into one run.
    All,
}

impl Reach {
    /// A fresh file below this is small: a reader spends more on opening it than on its rows.
    pub const SMALL_FILE_BYTES: u64 = 64 << 20;
    /// What a compaction of [`Reach::Small`] rewrites, at most.
    pub const SMALL_BYTES_MAX: u64 = 2 << 30;
    /// What a compaction of [`Reach::Quick`] rewrites, at most: less than a second's work.
    pub const QUICK_BYTES_MAX: u64 = 16 << 20;

    /// Of this size at most a fresh file or a run can be for [`Reach::Quick`]: two of them fit, and a run that is no larger than all
    /// before it is no larger than this.
    const QUICK_PART_BYTES_MAX: u64 = Self::QUICK_BYTES_MAX / 2;

    /// Whether it happens by itself, beside others of its kind.
    pub(super) fn is_beside(self) -> bool {
        matches!(self, Self::Quick | Self::Rest | Self::Small)
    }

    /// Whether it takes a fresh file or a run of this size.
    fn takes(self, bytes: u64) -> bool {
        match self {
            Self::Quick => bytes <= Self::QUICK_PART_BYTES_MAX,
            Self::Rest => bytes > Self::QUICK_PART_BYTES_MAX,
            Self::Small | Self::New | Self::All => true,
        }
    }

    fn bytes_max(self) -> u64 {
        match self {
            Self::Quick => Self::QUICK_BYTES_MAX,
            Self::Rest | Self::Small => Self::SMALL_BYTES_MAX,
            Self::New | Self::All => u64::MAX,
        }
    }
}

/// How many files of the table are fresh and small.
pub(super) fn small_files(files: &[DataFile]) -> usize {
    files.iter().filter(|file| is_small(file)).count()
}

/// Whether there is work for [`Reach::Rest`]: `after` small files, or runs that are small beside each other, and more of them than
/// are quick to rewrite.
pub(super) fn is_left(files: &[DataFile], after: usize) -> bool {
    let inputs = chosen(files, Reach::Rest);
    let runs: BTreeSet<&str> = inputs.iter().filter_map(DataFile::run).collect();
    let is_much = inputs.iter().map(|file| file.size_bytes).sum::<u64>() > Reach::QUICK_BYTES_MAX;
    is_much && (runs.len() > 1 || small_files(&inputs) >= after)
}

/// The files to be rewritten into one run; none where there is nothing to gain.
pub(super) fn chosen(files: &[DataFile], reach: Reach) -> Vec<DataFile> {
    let with_rows = || files.iter().filter(|file| file.rows > 0);
    let mut fresh: Vec<&DataFile> = with_rows().filter(|file| file.run().is_none()).collect();
    let mut by_name: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for (file, run) in with_rows().filter_map(|file| Some((file, file.run()?))) {
        by_name.entry(run).or_default().add(file);
    }
    let mut runs: Vec<Group<'_>> = by_name.into_values().filter(|run| reach.takes(run.bytes)).collect();
    // of runs with as many rows, always the same first
    runs.sort_by_key(|run| (run.rows, run.files[0].path.clone()));
    let bytes_max = reach.bytes_max();
    if reach.is_beside() {
        fresh.retain(|file| is_small(file) && reach.takes(file.size_bytes));
        fresh.sort_by_key(|file| (file.size_bytes, file.first_sequence));
    }
    let mut new = Group::default();
    for file in fresh {
        if new.bytes + file.size_bytes <= bytes_max {
            new.add(file);
        }
    }
    let count = if reach == Reach::All { runs.len() } else { beginning(&new, &runs, bytes_max) };
    let is_idle = new.files.is_empty() && count < 2;
    // an ingest that compacts by itself does so for many files, never for one
    let is_lone = reach.is_beside() && count == 0 && new.files.len() < 2;
    if is_idle || is_lone {
        return Vec::new();
    }
    new.files.iter().chain(runs[..count].iter().flat_map(|run| &run.files)).map(|file| (*file).clone()).collect()
}

/// How many of the runs, which are sorted by rows, are rewritten with `new`.
fn beginning(new: &Group<'_>, runs: &[Group<'_>], bytes_max: u64) -> usize {
    let (mut rows, mut bytes, mut count) = (new.rows, new.bytes, 0);
    for (index, run) in runs.iter().enumerate() {
        bytes += run.bytes;
        if bytes > bytes_max {
            break;
        }
        if run.rows <= rows {
            count = index + 1;
        }
        rows += run.rows;
    }
    count
}

fn is_small(file: &DataFile) -> bool {
    file.run().is_none() && file.rows > 0 && file.size_bytes < Reach::SMALL_FILE_BYTES
}

/// Files that are rewritten together or not at all.
#[derive(Default)]
struct Group<'a> {
    files: Vec<&'a DataFile>,
    rows: u64,
    bytes: u64,
}

impl<'a> Group<'a> {
    fn add(&mut self, file: &'a DataFile) {
        self.files.push(file);
        self.rows += file.rows;
        self.bytes += file.size_bytes;
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    /// Bytes of a row of these tests.
    const WIDTH: u64 = 10;

    fn file(name: String, rows: u64, first_sequence: Option<i64>) -> DataFile {
        DataFile {
            path: Path::from(format!("v/v-1/data/{name}.parquet")),
            size_bytes: rows * WIDTH,
            rows,
            first_sequence,
            commit_time: None,
            event: None,
            created: None,
            stats: serde_json::Map::new(),
        }
    }

    fn fresh(rows: u64) -> DataFile {
        file(Uuid::new_v4().to_string(), rows, Some(0))
    }

    /// A run of files with so many rows.
    fn run(rows: &[u64]) -> Vec<DataFile> {
        let id = Uuid::new_v4();
        rows.iter().enumerate().map(|(index, rows)| file(format!("{id}-{index:05}"), *rows, None)).collect()
    }

    fn rows(files: &[DataFile]) -> Vec<u64> {
        let mut rows: Vec<u64> = files.iter().map(|file| file.rows).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn runs_that_are_large_beside_what_is_new_stay() {
        let of = |files: &[Vec<DataFile>], reach| rows(&chosen(&files.concat(), reach));
        assert_eq!(of(&[vec![fresh(5), fresh(1)], run(&[7])], Reach::New), [1, 5]);
        assert_eq!(of(&[vec![fresh(5), fresh(1)], run(&[6])], Reach::New), [1, 5, 6]);
        // a run counts as a whole, however many files it has
        assert_eq!(of(&[vec![fresh(5)], run(&[3, 3])], Reach::New), [5]);
        // 4 alone is larger than 3, and yet goes, because 7 is no larger than both together
        assert_eq!(of(&[vec![fresh(3)], run(&[4]), run(&[7]), run(&[15])], Reach::New), [3, 4, 7]);
        assert_eq!(of(&[vec![fresh(3)], run(&[40, 40]), run(&[7])], Reach::All), [3, 7, 40, 40]);
    }

    #[test]
    fn what_is_clustered_already_is_left_alone() {
        for reach in [Reach::Quick, Reach::Rest, Reach::Small, Reach::New, Reach::All] {
            assert_eq!(chosen(&[], reach), []);
            assert_eq!(chosen(&run(&[9, 9, 2]), reach), [], "{reach:?}: one run");
        }
        assert_eq!(rows(&chosen(&[fresh(9)], Reach::New)), [9], "a lone fresh file is not clustered yet");
        assert_eq!(chosen(&[fresh(9)], Reach::Small), [], "and nobody asked for it");
        assert_eq!(rows(&chosen(&[run(&[3]), run(&[3])].concat(), Reach::New)), [3, 3]);
    }

    #[test]
    fn an_ingest_leaves_large_files_and_large_runs_to_others() {
        let large = Reach::SMALL_FILE_BYTES / WIDTH + 1;
        let most = Reach::SMALL_BYTES_MAX / WIDTH;
        let many: Vec<DataFile> = (0..40).map(|_| fresh(large)).collect();
        assert_eq!(small_files(&many), 0);
        assert_eq!(chosen(&many, Reach::Small), []);
        let files = [vec![fresh(2), fresh(3), fresh(large)], run(&[4]), run(&[most])].concat();
        assert_eq!(small_files(&files), 2);
        assert_eq!(rows(&chosen(&files, Reach::Small)), [2, 3, 4]);
        // small files that are too much together are left for the next time
        let some: Vec<DataFile> = (0..100).map(|_| fresh(large - 1)).collect();
        let bytes: u64 = chosen(&some, Reach::Small).iter().map(|file| file.size_bytes).sum();
        assert!(bytes <= Reach::SMALL_BYTES_MAX && bytes > Reach::SMALL_BYTES_MAX / 2, "{bytes}");
    }

    #[test]
    fn what_is_quick_is_done_at_once_and_the_rest_when_it_is_worth_it() {
        let mib = (1 << 20) / WIDTH;
        let few = [vec![fresh(mib), fresh(mib)], run(&[2 * mib]), run(&[3 * mib])].concat();
        assert_eq!(rows(&chosen(&few, Reach::Quick)), rows(&few));
        assert!(!is_left(&few, 2), "that is all there is");
        // runs that were quick to write grow until they are not
        let more = [vec![fresh(mib), fresh(mib)], run(&[9 * mib]), run(&[9 * mib])].concat();
        assert_eq!(rows(&chosen(&more, Reach::Quick)), [mib, mib], "all together would be too much");
        assert!(is_left(&more, 32));
        assert_eq!(rows(&chosen(&more, Reach::Rest)), [9 * mib, 9 * mib], "without what is quick");
        assert!(!is_left(&[run(&[9 * mib]), run(&[30 * mib])].concat(), 32), "each is large beside what is smaller");
        // files that are small and not quick
        let wide: Vec<DataFile> = (0..3).map(|_| fresh(17 * mib)).collect();
        assert_eq!(chosen(&wide, Reach::Quick), []);
        assert_eq!([is_left(&wide, 3), is_left(&wide, 4)], [true, false]);
        // of those of which no two are quick none is left for ever
        let middling: Vec<DataFile> = (0..3).map(|_| fresh(9 * mib)).collect();
        assert_eq!((chosen(&middling, Reach::Quick).len(), chosen(&middling, Reach::Rest).len()), (0, 3));
    }

    proptest! {
        /// Whatever another server's quick compactions take, the rest is not overtaken by them.
        #[test]
        fn what_is_quick_and_the_rest_share_nothing(
            new in proptest::collection::vec(1_u64..3_000_000, 0..40),
            runs in proptest::collection::vec(1_u64..9_000_000, 0..20),
        ) {
            let mut table: Vec<DataFile> = new.into_iter().map(fresh).collect();
            table.extend(runs.into_iter().flat_map(|rows| run(&[rows])));
            let rest = chosen(&table, Reach::Rest);
            prop_assert!(chosen(&table, Reach::Quick).iter().all(|file| !rest.contains(file)));
        }

        /// A table that is pushed to without end has few files, and each quick compaction is quick.
        #[test]
        fn files_stay_few_however_many_are_pushed(
            portions in proptest::collection::vec((32_usize..120, 1_u64..2_000), 1..400),
        ) {
            let mut table: Vec<DataFile> = Vec::new();
            for (files, rows) in portions {
                table.extend((0..files).map(|_| fresh(rows)));
                for reach in [Reach::Quick, Reach::Rest] {
                    if reach == Reach::Rest && !is_left(&table, 32) {
                        continue;
                    }
                    let inputs = chosen(&table, reach);
                    let bytes: u64 = inputs.iter().map(|file| file.size_bytes).sum();
                    prop_assert!(bytes <= reach.bytes_max());
                    table.retain(|file| !inputs.contains(file));
                    table.extend(run(&[inputs.iter().map(|file| file.rows).sum()]));
                }
                prop_assert_eq!(small_files(&table), 0, "all that is new is in a run");
                prop_assert!(table.len() <= 32, "{} files", table.len());
            }
        }

        /// Whatever comes, in whatever portions, the work of all compactions together is within the bound.
        #[test]
        fn a_row_is_rewritten_once_for_every_doubling(
            portions in proptest::collection::vec(proptest::collection::vec(1_u64..2_000, 1..5), 1..200),
        ) {
            let mut table: Vec<DataFile> = Vec::new();
            let (mut total, mut written, mut least) = (0_u64, 0_u64, u64::MAX);
            for portion in portions {
                let new: u64 = portion.iter().sum();
                total += new;
                least = least.min(new);
                table.extend(portion.into_iter().map(fresh));
                let inputs = chosen(&table, Reach::New);
                let rewritten: u64 = inputs.iter().map(|file| file.rows).sum();
                prop_assert!(rewritten >= new, "all that is new is clustered");
                written += rewritten;
                table.retain(|file| !inputs.contains(file));
                // cut into files as runs are
                table.extend(run(&[rewritten - rewritten / 3, rewritten / 3]));
                prop_assert_eq!(chosen(&table, Reach::New), vec![], "a second time there is nothing to do");
                let runs: std::collections::BTreeSet<&str> = table.iter().filter_map(DataFile::run).collect();
                prop_assert!(runs.len() as u32 <= total.ilog2() + 1, "{} runs of {total} rows", runs.len());
            }
            let doublings = f64::log2(total as f64 / least as f64).ceil() as u64;
            prop_assert!(written <= total * (1 + doublings), "{written} rows written for {total}, at least {least} at once");
        }
    }
}
