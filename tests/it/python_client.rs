//! The Python package: its own tests, run by pytest against the binary that this test was built with.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::interpreter;
use crate::support::workspace::root;

/// Tests that need no Arrow Flight of the server: definitions, gRPC, types, the wheel, and Flight against a stand-in.
const WITHOUT_FLIGHT: &str = "not flight";
/// Training sets, SQL, the worked example and the page for training jobs.
const WITH_FLIGHT: &str = "flight";

#[test]
fn the_package_holds_over_grpc() {
    pytest(WITHOUT_FLIGHT);
}

#[test]
fn the_package_holds_over_flight() {
    pytest(WITH_FLIGHT);
}

/// Runs the tests with these marks; none may fail, and none may be skipped.
fn pytest(marks: &str) {
    let place = TempDir::with_prefix("hitherto-python-").expect("a temporary folder can be made");
    let package = root().join("python");
    let mut command = Command::new(interpreter());
    command.args(["-m", "pytest", "-q", "-m", marks, "--rootdir"]).arg(&package);
    command.arg("--basetemp").arg(place.path().join("tests")).arg(package.join("tests"));
    command
        .current_dir(place.path())
        .stdin(Stdio::null())
        .env("HITHERTO_TEST_BINARY", env!("CARGO_BIN_EXE_hitherto"))
        // nothing is written into the checkout
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // what the machine's Python finds is none of the test's business
        .env("PYTHONNOUSERSITE", "1")
        .env("PATH", with_binary());
    for name in ["PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "PYTHONWARNINGS"] {
        command.env_remove(name);
    }
    let output = command.output().expect("Python can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let totals =
        said.lines().rev().find(|line| line.contains(" passed")).unwrap_or_else(|| panic!("no totals: {said}"));
    let odd = ["skipped", "failed", "error", "xfailed"].iter().any(|word| totals.contains(word));
    assert!(!odd, "every test runs, and none is skipped: {totals}\n{said}");
}

/// The search path with the binary's folder in front, as for somebody who has installed it.
fn with_binary() -> OsString {
    let folder = Path::new(env!("CARGO_BIN_EXE_hitherto")).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").expect("a PATH");
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).expect("folders of a PATH")
}
