//! The binary, run as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use arrow::array::RecordBatch;
use tempfile::TempDir;

use super::shell::words;
use super::{read_parquet, write_parquet};

/// The binary in a folder, with no configuration but what the test puts there.
#[derive(Debug)]
pub(crate) struct Hitherto {
    folder: PathBuf,
    // removes the folder when the test is done
    _made: Option<TempDir>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// As it was typed.
    pub(crate) command: String,
    /// The exit code; -1 for a signal.
    pub(crate) code: i32,
    /// Data.
    pub(crate) stdout: String,
    /// Everything else.
    pub(crate) stderr: String,
}

impl Hitherto {
    /// In an empty temporary folder.
    pub(crate) fn new() -> Self {
        let made = TempDir::with_prefix("hitherto-it-").expect("a temporary folder can be made");
        // resolved, so that messages that name paths can be compared
        let folder = made.path().canonicalize().expect("the folder exists");
        Self { folder, _made: Some(made) }
    }

    /// In a folder that is there already, and stays.
    pub(crate) fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), _made: None }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of `name` in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Write a file, making the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("folders can be made");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self
    }

    /// Write a Parquet file.
    pub(crate) fn write_parquet(&self, name: &str, batch: &RecordBatch) -> &Self {
        write_parquet(&self.path(name), batch);
        self
    }

    /// All rows of a Parquet file.
    pub(crate) fn read_parquet(&self, name: &str) -> RecordBatch {
        read_parquet(&self.path(name))
    }

    /// The command, ready to be run or spawned; `line` is what follows `hitherto`, quotes as in a shell.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hitherto"));
        for (name, _) in hitherto_cli::ENVIRONMENT {
            command.env_remove(name);
        }
        // nobody's collector is told of tests
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
            command.env_remove(name);
        }
        command.args(words(line)).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Run a command to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(line, self.command(line).output().expect("the binary can be started"))
    }

    /// Run a command that must succeed; its stdout.
    pub(crate) fn ok(&self, line: &str) -> String {
        self.run(line).expect_code(0).stdout
    }

    /// Run a command that must fail, with exit code 1 and nothing on stdout; its stderr.
    pub(crate) fn fails(&self, line: &str) -> String {
        let ran = self.run(line).expect_code(1);
        assert_eq!(ran.stdout, "", "{}: a failure writes nothing to stdout", ran.command);
        ran.stderr
    }
}

impl Ran {
    /// What `output` says.
    pub(crate) fn of(line: &str, output: Output) -> Self {
        Self {
            command: format!("hitherto {line}"),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    /// The same, if the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "$ {}\n{}{}", self.command, self.stdout, self.stderr);
        self
    }
}
