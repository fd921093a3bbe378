//! What the folders of a table show of a writer at work.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Hitherto;

/// How far the writer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Rows are being written.
    File,
    /// A file is complete, the log does not name it.
    Placed,
    /// The log's entry is being written.
    Entry,
    /// The log has the entry.
    Committed,
}

pub(super) const STAGES: [Stage; 4] = [Stage::File, Stage::Placed, Stage::Entry, Stage::Committed];

/// The folder of the only table of `view`.
pub(super) fn table_folder(place: &Hitherto, view: &str) -> PathBuf {
    let view = place.path(&format!(".hitherto/offline/{view}"));
    let tables = fs::read_dir(&view).expect("the view has a folder");
    tables.map(|table| table.expect("an entry").path()).next().expect("the view has a table")
}

/// How many names of each kind a table's folders have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) files: usize,
    pub(super) files_staged: usize,
    pub(super) entries: usize,
    pub(super) entries_staged: usize,
}

impl Listing {
    pub(super) fn of(table: &Path) -> Self {
        let count = |folder: &str, ending: &str| {
            let names = fs::read_dir(table.join(folder)).expect("the folder is there").map_while(Result::ok);
            let names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            let staged = names.iter().filter(|name| name.contains('#')).count();
            (names.iter().filter(|name| name.ends_with(ending)).count(), staged)
        };
        let ((files, files_staged), (entries, entries_staged)) =
            (count("data", ".parquet"), count("_delta_log", ".json"));
        Self { files, files_staged, entries, entries_staged }
    }

    pub(super) fn shows(self, stage: Stage, before: &Self) -> bool {
        match stage {
            Stage::File => self.files_staged > before.files_staged || self.files > before.files,
            Stage::Placed => self.files > before.files,
            Stage::Entry => self.entries_staged > before.entries_staged || self.entries > before.entries,
            Stage::Committed => self.entries > before.entries,
        }
    }
}
