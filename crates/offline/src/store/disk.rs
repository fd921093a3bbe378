//! The few operations on a disk that durability rests on, so that tests can forget, refuse and fill up.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What [`crate::DurableFileSystem`] asks of a disk.
///
/// After a loss of power a file has what was written before its last [`Disk::sync_file`], and a folder has the names
/// it had at its last [`Disk::sync_folder`]; of anything later, any part may be missing.
pub trait Disk: Debug + Send + Sync {
    /// Makes an empty file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Appends to a file made by [`Disk::create`] at `path`.
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Puts the file's content on the disk.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Gives the file a second name, which must not exist yet.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the file another name, in place of the file that may have had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes one folder; that it exists already is no error.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Puts the folder's names on the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn write(&self, file: &mut File, _path: &Path, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_data()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            done => done,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
