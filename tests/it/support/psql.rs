//! psql, run as an analyst runs it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Ran;

/// psql at an address, with no configuration of this machine's. Flags and `-c` are what follows.
pub(crate) fn psql(address: &str, environment: &[(&str, &str)]) -> Command {
    let (host, port) = address.rsplit_once(':').expect("a host and a port");
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-P", "pager=off"]).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    let defaults = [("PGDATABASE", "hitherto"), ("PGUSER", "ada"), ("PGCONNECT_TIMEOUT", "20"), ("LC_ALL", "C.UTF-8")];
    command.envs([("PGHOST", host), ("PGPORT", port)]).envs(defaults).envs(environment.iter().copied());
    command
}

/// psql that is connected, and waits for its next statement.
pub(crate) fn held(at: &str, environment: &[(&str, &str)]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut command = psql(at, environment);
    command.args(["-A", "-t"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("psql can be started");
    let mut stdin = child.stdin.take().expect("its stdin is a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("its stdout is a pipe"));
    writeln!(stdin, "select 1;").expect("it reads");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it answers");
    assert_eq!(line, "1\n");
    (child, stdin, stdout)
}

/// Runs it to its end.
pub(crate) fn ran(mut command: Command) -> Ran {
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "psql cannot be started ({error}): run `./test`, which installs it, or install Debian's postgresql-client"
        )
    });
    Ran::of(&line, output)
}

/// What it prints for these commands, each a query or a command of psql's own.
#[track_caller]
pub(crate) fn asked(address: &str, commands: &[&str]) -> String {
    let mut command = psql(address, &[]);
    for text in commands {
        command.args(["-c", text]);
    }
    let ran = ran(command);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{commands:?}: {}", ran.stdout);
    ran.stdout
}

/// Rows without anything around them.
#[track_caller]
pub(crate) fn rows(address: &str, query: &str) -> Vec<String> {
    let mut command = psql(address, &[]);
    command.args(["-A", "-t", "-c", query]);
    let ran = ran(command);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{query}: {}", ran.stdout);
    ran.stdout.lines().map(str::to_owned).collect()
}

/// What it says of a query that is refused: SQLSTATE, message and hint.
#[track_caller]
pub(crate) fn refused(address: &str, environment: &[(&str, &str)], query: &str) -> String {
    let mut command = psql(address, environment);
    command.args(["-v", "VERBOSITY=verbose", "-A", "-t", "-c", query]);
    let ran = ran(command);
    assert_eq!(ran.code, 1, "{query}: {}{}", ran.stdout, ran.stderr);
    ran.stderr
}
