//! Python with other readers of our tables, an S3 server, and a service that takes events.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// What a script of tests/python prints: one JSON document.
pub(crate) fn python(script: &str, arguments: &[&str]) -> Value {
    let output = command(script).args(arguments).output().expect("Python can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script} printed no JSON: {error}\n{said}"))
}

/// What a script of the test's own prints.
pub(crate) fn python_says(script: &Path) -> String {
    // a path that is whole stands for itself
    let output = command(&script.display().to_string()).output().expect("Python can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", script.display());
    String::from_utf8(output.stdout).expect("it prints text")
}

/// An S3 server in memory, with the bucket `history`; gone when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub(crate) struct S3 {
    url: String,
    child: Child,
}

/// A service that takes events over HTTP and keeps them; gone when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub(crate) struct EventEndpoint {
    /// Where it listens.
    pub(crate) url: String,
    taken: PathBuf,
    child: Child,
}

impl EventEndpoint {
    /// Starts one that keeps what it takes in the file `taken`, and answers with `status`.
    pub(crate) fn start(taken: PathBuf, status: u16) -> Self {
        let mut script = command("event_endpoint.py");
        let (url, child) = serving(script.arg(&taken).arg(status.to_string()));
        Self { url, taken, child }
    }

    /// What it has taken: per request its path, headers and body.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let lines = std::fs::read_to_string(&self.taken).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Drop for EventEndpoint {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A script that prints where it listens and serves until its stdin is closed.
fn serving(script: &mut Command) -> (String, Child) {
    let started = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = started.expect("the server can be started");
    let mut url = String::new();
    let stdout = child.stdout.take().expect("its stdout is a pipe");
    BufReader::new(stdout).read_line(&mut url).expect("its first line is text");
    let url = url.trim().to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{script:?} said '{url}' and not where it listens");
    (url, child)
}

impl S3 {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let (url, child) = serving(&mut command("s3_server.py"));
        Self { url, child }
    }

    /// The variables by which a process finds it, with history in the bucket.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 6] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("HITHERTO_OFFLINE__URL", "s3://history/features"),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(script: &str) -> Command {
    let variable = "HITHERTO_TEST_PYTHON";
    let Some(python) = std::env::var_os(variable) else {
        panic!(
            "{variable} is not set: run `./test`, which makes a Python with what tests/python/requirements.txt asks for, \
             or set it to the python of a virtual environment that has it"
        )
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let mut command = Command::new(PathBuf::from(python));
    // what the machine's Python finds is none of the test's business
    command.arg("-I").arg(folder.join(script)).stdin(Stdio::null());
    command
}
