//! Listing a table's log from a version on, by the names that its entries have.
//!
//! A folder of this machine cannot be listed from a name on: all of it is read, and the folder of a log that is pushed to has an
//! entry for each commit of many days. But entries are numbered without a gap, so whoever knows the first asks for one after the
//! other.

use std::path::Path as FilePath;
use std::{fs, io};

use object_store::ObjectMeta;
use object_store::path::Path;
use serde::Deserialize;

/// A log that goes on for longer than this after its last checkpoint is listed.
const ENTRIES_MAX: u64 = 4_096;
/// Digits of a version in the name of a file of the log.
const VERSION_DIGITS: usize = 20;

/// The folder of a log, and the version from which on it is to be listed.
#[derive(Debug)]
pub(super) struct LogFrom {
    log: Path,
    version: u64,
}

/// Which version checkpoints have reached, as far as whoever wrote the last says.
#[derive(Deserialize)]
struct Hint {
    version: u64,
}

impl LogFrom {
    /// What is asked for by listing `prefix` after `offset`; none where it is no log, or no version of it.
    pub(super) fn asked(prefix: Option<&Path>, offset: &Path) -> Option<Self> {
        let log = prefix.filter(|log| log.filename() == Some("_delta_log"))?;
        let mut below = offset.prefix_match(log)?;
        let name = below.next()?.as_ref().to_owned();
        let is_version = name.len() == VERSION_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
        // the name alone sorts before all files of its version
        if !is_version || below.next().is_some() {
            return None;
        }
        Some(Self { log: log.clone(), version: name.parse().ok()? })
    }

    /// The log's folder.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Entries and checkpoints from that version on, where `folder` is the log's; none where only the whole folder tells. Blocks.
    pub(super) fn read(&self, folder: &FilePath) -> io::Result<Option<Vec<ObjectMeta>>> {
        let mut found = Vec::new();
        let first = self.files_of(folder, self.version)?;
        let has_checkpoint = first.iter().any(|file| file.location.filename() == Some(&*checkpoint(self.version)));
        // where checkpoints are said to have come to, and a version has none of the name that ours have, there is one of another
        if first.is_empty() || (!has_checkpoint && hinted(folder)? == Some(self.version)) {
            return Ok(None);
        }
        let witness = folder.join(first[0].location.filename().unwrap_or_default());
        found.extend(first);
        for version in self.version + 1.. {
            let next = self.files_of(folder, version)?;
            // a checkpoint alone is none of the log's end
            if !next.iter().any(|file| file.location.extension() == Some("json")) {
                break;
            }
            found.extend(next);
            if version - self.version == ENTRIES_MAX {
                return Ok(None);
            }
        }
        // entries are deleted from the first on: while this one is there, none that follows it was
        Ok(is_there(&witness)?.is_some().then_some(found))
    }

    fn files_of(&self, folder: &FilePath, version: u64) -> io::Result<Vec<ObjectMeta>> {
        let mut files = Vec::new();
        for name in [checkpoint(version), format!("{version:020}.json")] {
            if let Some(metadata) = is_there(&folder.join(&name))? {
                files.push(ObjectMeta {
                    location: self.log.clone().join(name),
                    last_modified: metadata.modified()?.into(),
                    size: metadata.len(),
                    e_tag: None,
                    version: None,
                });
            }
        }
        Ok(files)
    }
}

fn checkpoint(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

fn is_there(file: &FilePath) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn hinted(folder: &FilePath) -> io::Result<Option<u64>> {
    match fs::read(folder.join("_last_checkpoint")) {
        // what cannot be read is no hint
        Ok(text) => Ok(serde_json::from_slice(&text).ok().map(|hint: Hint| hint.version)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(folder: &FilePath, names: &[&str]) {
        for name in names {
            fs::write(folder.join(name), "{}").expect("written");
        }
    }

    fn read(folder: &FilePath, version: u64) -> Option<Vec<String>> {
        let log = Path::from("v/v-1/_delta_log");
        let offset = log.clone().join(format!("{version:020}"));
        let asked = LogFrom::asked(Some(&log), &offset).expect("a version of a log");
        let found = asked.read(folder).expect("a folder")?;
        Some(
            found
                .iter()
                .map(|file| file.location.filename().expect("a name").trim_start_matches('0').to_owned())
                .collect(),
        )
    }

    #[test]
    fn entries_are_found_by_name_up_to_the_first_gap() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        for version in 5..9_u64 {
            named(folder, &[&format!("{version:020}.json")]);
        }
        named(folder, &[&checkpoint(7), "00000000000000000010.json", "_last_checkpoint"]);
        let expected = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(folder, 7), expected(&["7.checkpoint.parquet", "7.json", "8.json"]));
        assert_eq!(read(folder, 6), expected(&["6.json", "7.checkpoint.parquet", "7.json", "8.json"]));
        assert_eq!(read(folder, 9), None, "where the first is not there, the folder is asked");
        fs::write(folder.join("_last_checkpoint"), r#"{"version":6,"size":1}"#).expect("written");
        assert_eq!(read(folder, 6), None, "a checkpoint of another name may be there");
        fs::write(folder.join("_last_checkpoint"), r#"{"version":7,"size":1}"#).expect("written");
        assert_eq!(read(folder, 7), expected(&["7.checkpoint.parquet", "7.json", "8.json"]));
    }

    #[test]
    fn only_versions_of_a_log_are_asked_for_by_name() {
        let log = Path::from("v/v-1/_delta_log");
        let version = "00000000000000000007";
        let asked =
            |prefix: Option<&Path>, offset: &str| LogFrom::asked(prefix, &Path::from(offset)).map(|from| from.version);
        assert_eq!(asked(Some(&log), &format!("{log}/{version}")), Some(7));
        for other in
            [format!("{log}/{version}.json"), format!("{log}/7"), format!("{log}/{version}/a"), "v/v-1".to_owned()]
        {
            assert_eq!(asked(Some(&log), &other), None, "{other}");
        }
        assert_eq!(asked(None, &format!("{log}/{version}")), None);
        assert_eq!(asked(Some(&Path::from("v/v-1/data")), &format!("v/v-1/data/{version}")), None);
    }
}
