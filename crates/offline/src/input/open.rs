//! Where a user's rows lie, and the files that they are in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use object_store::ObjectStore;
use sha2::{Digest as _, Sha256};
use tempfile::{TempDir, TempPath};
use tokio::io::AsyncRead;

use super::parquet::ParquetFile;
use super::sniff::{SNIFFED_BYTES, sniff};
use super::{Format, InputError, spool};

/// A place that rows come from.
pub enum Location {
    /// A file of this machine, a pattern (`legs/*.parquet`) or a `file://` URL.
    Local(String),
    /// An object of a store; it is first copied to this machine.
    Object {
        /// What the user calls it: its URL.
        url: String,
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// Its place in the store.
        path: object_store::path::Path,
    },
    /// A stream of bytes, such as standard input; it is first copied to a file.
    Stream {
        /// What the user calls it: `-`.
        name: String,
        /// The bytes.
        reader: Box<dyn AsyncRead + Send + Unpin>,
    },
}

/// How files are opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The format of all files; told from their names and first bytes if none.
    pub format: Option<Format>,
    /// The folder for copies of objects and streams, which may be large; the system's temporary folder if none.
    pub spool: Option<PathBuf>,
}

impl Options {
    /// Options with this format.
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Options with this folder for copies.
    pub fn with_spool(mut self, folder: impl Into<PathBuf>) -> Self {
        self.spool = Some(folder.into());
        self
    }
}

/// The files that rows come from, in order. A clone reads the same files.
#[derive(Clone, Debug)]
pub struct Input {
    pub(super) files: Arc<[InputFile]>,
}

/// One file of this machine.
#[derive(Debug)]
pub(super) struct InputFile {
    /// What the user calls it.
    pub(super) name: String,
    pub(super) format: Format,
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    /// Removes the copy of what came from elsewhere when the input is dropped.
    copy: Option<TempPath>,
    /// Removes the copy's folder, after it.
    folder: Option<TempDir>,
}

impl Input {
    /// Opens what lies at `locations`: the files of each in turn, those of a pattern sorted by name.
    ///
    /// Objects and streams are copied to this machine first, so all of them must fit on its disk.
    pub async fn open(locations: impl IntoIterator<Item = Location>, options: &Options) -> Result<Self, InputError> {
        let locations: Vec<Location> = locations.into_iter().collect();
        let mut files = Vec::new();
        for location in locations {
            match location {
                Location::Local(text) => {
                    for path in expand(&text)? {
                        files.push(open_local(path, options).await?);
                    }
                }
                Location::Object { url, store, path } => {
                    let copy = spool::object(&url, store.as_ref(), &path, options.spool.as_deref()).await?;
                    files.push(InputFile::open(
                        url,
                        copy.path().to_owned(),
                        options.format,
                        Some(copy.into_temp_path()),
                    )?);
                }
                Location::Stream { name, reader } => {
                    let copy = spool::stream(&name, reader, options.spool.as_deref()).await?;
                    files.push(InputFile::open(
                        name,
                        copy.path().to_owned(),
                        options.format,
                        Some(copy.into_temp_path()),
                    )?);
                }
            }
        }
        Ok(Self { files: files.into() })
    }

    /// Reads a Parquet file that was made for this in a folder of its own, called `name` in messages; both are removed when
    /// it is dropped.
    pub fn of_copy(name: impl Into<String>, copy: TempPath, folder: TempDir) -> Result<Self, InputError> {
        let mut file = InputFile::open(name.into(), copy.to_path_buf(), Some(Format::Parquet), Some(copy))?;
        file.folder = Some(folder);
        Ok(Self { files: Arc::new([file]) })
    }

    /// What the user calls the files, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// Where the files are, in order: the absolute paths of this machine's, what the user calls the others.
    pub fn places(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(InputFile::place)
    }

    /// What the first file's footer says under `key`, if it is a Parquet file that says it.
    pub async fn stamp(&self, key: &str) -> Result<Option<String>, InputError> {
        let (files, key) = (Arc::clone(&self.files), key.to_owned());
        let name = self.names().next().unwrap_or("-").to_owned();
        let read = tokio::task::spawn_blocking(move || match files.first() {
            Some(file) if file.format == Format::Parquet => Ok(ParquetFile::open(file)?.stamp(&key)),
            _ => Ok(None),
        });
        read.await.unwrap_or(Err(InputError::Stopped { file: name }))
    }

    /// What the footers of its Parquet files say under `key`, each once; other files say nothing.
    pub async fn stamps(&self, key: &str) -> Result<BTreeSet<String>, InputError> {
        let (files, key) = (Arc::clone(&self.files), key.to_owned());
        let name = self.names().next().unwrap_or("-").to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let parquet = files.iter().filter(|file| file.format == Format::Parquet);
            let stamp =
                |file: &InputFile| -> Result<Option<String>, InputError> { Ok(ParquetFile::open(file)?.stamp(&key)) };
            parquet.filter_map(|file| stamp(file).transpose()).collect::<Result<BTreeSet<String>, InputError>>()
        });
        read.await.unwrap_or(Err(InputError::Stopped { file: name }))
    }

    /// How many bytes the files have in all.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The SHA-256 of the content, in hexadecimal: of one file its bytes', of several that of their hashes in order,
    /// so that moving rows from one file to the next is other content.
    pub async fn content_hash(&self) -> Result<String, InputError> {
        let files = Arc::clone(&self.files);
        let name = self.names().next().unwrap_or("-").to_owned();
        let hashed = tokio::task::spawn_blocking(move || {
            let hashes = files.iter().map(InputFile::hash).collect::<Result<Vec<_>, _>>()?;
            Ok(match hashes.as_slice() {
                [one] => hex::encode(one),
                many => hex::encode(Sha256::digest(many.concat())),
            })
        });
        hashed.await.unwrap_or(Err(InputError::Stopped { file: name }))
    }
}

impl InputFile {
    fn open(name: String, path: PathBuf, format: Option<Format>, copy: Option<TempPath>) -> Result<Self, InputError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => InputError::NotFound { file: name.clone() },
            _ => InputError::Io { file: name.clone(), source },
        };
        let file = File::open(&path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let format = if let Some(format) = format {
            format
        } else {
            let mut head = Vec::with_capacity(SNIFFED_BYTES);
            file.take(SNIFFED_BYTES as u64).read_to_end(&mut head).map_err(io)?;
            sniff(&name, &head).map_err(|reason| InputError::Format { file: name.clone(), reason })?
        };
        Ok(Self { format, path, bytes: metadata.len(), modified: metadata.modified().ok(), name, copy, folder: None })
    }

    fn place(&self) -> String {
        let absolute =
            || std::path::absolute(&self.path).map_or_else(|_| self.name.clone(), |path| path.display().to_string());
        if self.copy.is_some() { self.name.clone() } else { absolute() }
    }

    /// The file from its beginning.
    pub(super) fn reopen(&self) -> Result<File, InputError> {
        File::open(&self.path).map_err(|source| InputError::Io { file: self.name.clone(), source })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Refuses a file that is not what it was when it was opened: its rows may be of two minds, or not those that
    /// were hashed.
    pub(super) fn refuse_change(&self) -> Result<(), InputError> {
        match fs::metadata(&self.path) {
            Ok(now) if now.len() == self.bytes && now.modified().ok() == self.modified => Ok(()),
            _ => Err(InputError::Changed { file: self.name.clone() }),
        }
    }

    fn hash(&self) -> Result<[u8; 32], InputError> {
        let mut file = self.reopen()?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 1 << 18];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => hasher.update(&chunk[..read]),
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(InputError::Io { file: self.name.clone(), source }),
            }
        }
        self.refuse_change()?;
        Ok(hasher.finalize().into())
    }
}

async fn open_local(path: PathBuf, options: &Options) -> Result<InputFile, InputError> {
    let name = path.display().to_string();
    let kind = fs::metadata(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => InputError::NotFound { file: name.clone() },
        _ => InputError::Io { file: name.clone(), source },
    })?;
    if kind.is_dir() {
        return Err(InputError::Folder { file: name });
    }
    if kind.is_file() {
        return InputFile::open(name, path, options.format, None);
    }
    // a pipe such as /dev/stdin or a shell's <(command)
    let pipe = tokio::fs::File::open(&path).await.map_err(|source| InputError::Io { file: name.clone(), source })?;
    let copy = spool::stream(&name, pipe, options.spool.as_deref()).await?;
    InputFile::open(name, copy.path().to_owned(), options.format, Some(copy.into_temp_path()))
}

/// The files that a local location names.
fn expand(text: &str) -> Result<Vec<PathBuf>, InputError> {
    if text.starts_with("file://") {
        let path = url::Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
        return path.map(|path| vec![path]).ok_or_else(|| InputError::NotFound { file: text.to_owned() });
    }
    // a file may have a pattern's characters in its name
    if Path::new(text).exists() || !text.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(text)]);
    }
    let pattern = |source| InputError::Pattern { pattern: text.to_owned(), source };
    let mut paths = Vec::new();
    for path in glob::glob(text).map_err(pattern)? {
        let path =
            path.map_err(|error| InputError::Io { file: error.path().display().to_string(), source: error.into() })?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(InputError::NoMatch { pattern: text.to_owned() });
    }
    Ok(paths)
}
