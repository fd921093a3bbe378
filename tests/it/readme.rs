//! What the README tells a reader to type works, in its order, from its first command to its last.

use std::process::{Command, Stdio};

use crate::support::Hitherto;
use crate::support::workspace::read;

/// Blocks that begin so are sessions: what follows `$ ` is typed, the rest is answered.
const FENCE: &str = "```console";

#[test]
fn every_command_of_the_readme_runs() {
    let commands = commands(&read("README.md"));
    let typed: Vec<&String> = commands.iter().filter(|command| command.starts_with("hitherto ")).collect();
    assert!(typed.len() >= 3, "the README shows how it is used: {typed:?}");
    let place = Hitherto::new();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_hitherto"));
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", binary.parent().expect("a folder").display());
    // one shell for all, so that `cd` and `&` mean what they mean to the reader; it stops at the first failure
    let lines = commands.iter().map(|command| format!("printf '%s\\n' {}\n{command}\n", quoted(command)));
    let script: String =
        std::iter::once("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n".to_owned()).chain(lines).collect();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(place.folder()).env("PATH", path).stdin(Stdio::null());
    for (name, _) in hitherto_cli::ENVIRONMENT {
        shell.env_remove(name);
    }
    let output = shell.output().expect("bash can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn sessions_are_taken_apart() {
    let text = "# x\n```console\n$ hitherto plan \\\n    -f d.yaml\n+ entity\n$ cargo run\n```\n\n```toml\n$ hitherto no\n```\n";
    assert_eq!(commands(text), ["hitherto plan \\\n    -f d.yaml"]);
}

/// What is typed in console blocks: `hitherto …`, and `cd …` between.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut inside = false;
    let mut open = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line.starts_with(FENCE);
            open = false;
        } else if open {
            let command = commands.last_mut().expect("a command that goes on");
            command.push('\n');
            command.push_str(line);
            open = line.ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            if command.starts_with("hitherto ") || command.starts_with("cd ") {
                commands.push(command.to_owned());
                open = line.ends_with('\\');
            }
        }
    }
    commands
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
