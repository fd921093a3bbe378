//! A table's history as one moment had it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::physical_plan::metrics::Count;
use hitherto_core::Table;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::OnceCell;

use super::footer::Footer;
use super::object::ObjectReader;
use crate::Result;
use crate::log::{DataFile, Snapshot, TableErasure};

/// The rows of a table with `_sequence <= last_sequence`, in files that nobody changes any more.
///
/// Cloning is cheap, and clones share the files' footers, which are read once.
#[derive(Clone)]
pub struct PinnedTable {
    store: Arc<dyn ObjectStore>,
    table: Arc<Table>,
    files: Arc<[PinnedFile]>,
    last_sequence: i64,
    log_version: Option<u64>,
    erasures: Arc<[TableErasure]>,
}

struct PinnedFile {
    file: DataFile,
    footer: OnceCell<Footer>,
}

/// Tells whether files are pinned still, without pinning them itself.
#[derive(Clone)]
pub struct PinWatch(Weak<[PinnedFile]>);

impl PinWatch {
    /// The files, while anybody has the pin or a clone of it.
    pub fn files(&self) -> Vec<Path> {
        let pinned = self.0.upgrade();
        pinned.iter().flat_map(|files| files.iter()).map(|pinned| pinned.file.path.clone()).collect()
    }

    /// Whether nobody has it any more.
    pub fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl fmt::Debug for PinWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinWatch").field("is_over", &self.is_over()).finish()
    }
}

impl PinnedTable {
    /// Pins `files`, whose paths are from the root of `store`, up to the row with `last_sequence`. No IO.
    ///
    /// `table` may have columns that some of the files lack: they read as null.
    pub fn new(store: Arc<dyn ObjectStore>, table: Table, files: &[DataFile], last_sequence: i64) -> Self {
        Self::with_footers(store, table, files, last_sequence, |_| None)
    }

    /// Pins another moment of the same store, and takes over what is known of the files that both have.
    pub fn repinned(&self, table: Table, files: &[DataFile], last_sequence: i64) -> Self {
        let known: HashMap<_, _> = self.files.iter().map(|pinned| (&pinned.file.path, &pinned.footer)).collect();
        // statistics depend on where created times come from, so footers pass only between like tables
        let alike = self.table.id == table.id && self.table.created == table.created && self.table.keys == table.keys;
        Self::with_footers(Arc::clone(&self.store), table, files, last_sequence, |file| {
            known.get(&file.path).filter(|_| alike).and_then(|footer| footer.get().cloned())
        })
    }

    fn with_footers(
        store: Arc<dyn ObjectStore>,
        table: Table,
        files: &[DataFile],
        last_sequence: i64,
        known: impl Fn(&DataFile) -> Option<Footer>,
    ) -> Self {
        let visible =
            |file: &&DataFile| file.rows > 0 && file.sequences().is_none_or(|(first, _)| first <= last_sequence);
        let mut files: Vec<DataFile> = files.iter().filter(visible).cloned().collect();
        // the log has them in any order; ours is that of the history
        files.sort_by(|a, b| (a.first_sequence, &a.path).cmp(&(b.first_sequence, &b.path)));
        let pinned = files.into_iter().map(|file| PinnedFile { footer: OnceCell::new_with(known(&file)), file });
        Self {
            store,
            table: Arc::new(table),
            files: pinned.collect(),
            last_sequence,
            log_version: None,
            erasures: Arc::new([]),
        }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The greatest `_sequence` that is read.
    pub fn last_sequence(&self) -> i64 {
        self.last_sequence
    }

    /// The same rows, with what the version of the log in which they were found says of the table.
    pub fn found_in(self, snapshot: &Snapshot) -> Self {
        let concerns = |erasure: &&TableErasure| erasure.concerns(self.last_sequence);
        let erasures = snapshot.erasures.iter().filter(concerns).cloned().collect();
        Self { log_version: snapshot.version, erasures, ..self }
    }

    /// What was erased from these rows, in the order in which it was.
    pub fn erasures(&self) -> &[TableErasure] {
        &self.erasures
    }

    /// The version of the log that named the files, where it is known.
    pub fn log_version(&self) -> Option<u64> {
        self.log_version
    }

    /// The files, without those that begin after the pin.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &DataFile> {
        self.files.iter().map(|pinned| &pinned.file)
    }

    /// Whether the pin is still there can be asked of this.
    pub fn watch(&self) -> PinWatch {
        PinWatch(Arc::downgrade(&self.files))
    }

    pub(super) fn shared_table(&self) -> &Arc<Table> {
        &self.table
    }

    pub(super) fn file(&self, index: usize) -> &DataFile {
        &self.files[index].file
    }

    /// Reads the file with this index, counting in `bytes_read`.
    pub(super) fn reader(&self, index: usize, bytes_read: &Count) -> ObjectReader {
        let file = self.file(index);
        ObjectReader {
            store: Arc::clone(&self.store),
            path: file.path.clone(),
            size_bytes: file.size_bytes,
            bytes_read: bytes_read.clone(),
        }
    }

    /// The footer of the file with this index; reads it the first time.
    pub(super) async fn footer(&self, index: usize) -> Result<&Footer> {
        let pinned = &self.files[index];
        pinned
            .footer
            .get_or_try_init(|| Footer::load(self.reader(index, &Count::new()), &pinned.file, &self.table))
            .await
    }
}

impl fmt::Debug for PinnedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedTable")
            .field("table", &self.table.id)
            .field("files", &self.files.len())
            .field("last_sequence", &self.last_sequence)
            .finish_non_exhaustive()
    }
}
