//! What the README and the pages of docs/ tell a reader to type works, in its order, from its first command to its last.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Hitherto;
use crate::support::workspace::read;

/// Blocks that begin so are sessions: what follows `$ ` is typed, the rest is answered.
const FENCE: &str = "```console";

#[test]
fn every_command_of_the_readme_runs_and_answers_so() {
    holds("README.md");
}

#[test]
fn every_command_of_the_page_on_sql_runs_and_answers_so() {
    holds("docs/sql.md");
}

/// Types what a page shows, and compares what comes.
fn holds(page: &str) {
    let session = session(&read(page));
    let typed: Vec<&str> =
        session.iter().map(|step| &*step.command).filter(|line| line.starts_with("hitherto ")).collect();
    assert!(typed.len() >= 3, "{page} shows how it is used: {typed:?}");
    let said = run(&session);
    let lines: Vec<&str> = said.lines().collect();
    for step in &session {
        for answer in &step.answers {
            let found = lines.iter().any(|line| is_shortened(line, answer));
            assert!(found, "{page} says of `{}`:\n{answer}\nand no line is so in:\n{said}", step.command);
        }
    }
}

#[test]
fn sessions_are_taken_apart() {
    let text = "# x\n```console\n$ hitherto plan \\\n    -f d.yaml\n+ entity\n\n$ cargo run\nbuilt\n```\n\n```toml\n$ hitherto no\n```\n";
    let expected = Step { command: "hitherto plan \\\n    -f d.yaml".to_owned(), answers: vec!["+ entity".to_owned()] };
    assert_eq!(session(text), [expected]);
    assert!(is_shortened("one two three", "one two three") && is_shortened("one two three", "…"));
    assert!(is_shortened("one two three", "one … three") && is_shortened("one two three", "…two three"));
    assert!(!is_shortened("one two three", "one two") && !is_shortened("one two three", "…one three"));
}

/// What is typed, and what the README says comes of it.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    answers: Vec<String>,
}

/// The console blocks: `hitherto …`, and `cd …` between; what is typed besides is left out with its answers.
fn session(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    // whether lines belong to the last step, and whether its command goes on
    let (mut inside, mut ours, mut open) = (false, false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line.starts_with(FENCE);
            ours = false;
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            ours = command.starts_with("hitherto ") || command.starts_with("cd ");
            open = line.ends_with('\\');
            if ours {
                steps.push(Step { command: command.to_owned(), answers: Vec::new() });
            }
        } else if let Some(step) = steps.last_mut().filter(|_| ours) {
            if open {
                step.command = format!("{}\n{line}", step.command);
                open = line.ends_with('\\');
            } else if !line.trim().is_empty() {
                step.answers.push(line.to_owned());
            }
        }
    }
    steps
}

/// Type it all; what came, which must be without a failure.
fn run(session: &[Step]) -> String {
    let place = Hitherto::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_hitherto"));
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", binary.parent().expect("a folder").display());
    // one shell for all, so that `cd` and `&` mean what they mean to the reader; it stops at the first failure
    let mut script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n".to_owned();
    for step in session {
        let typed = quoted(&step.command);
        script.extend(["printf '$ %s\\n' ", &*typed, "\n", &*step.command, "\n"]);
    }
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(place.folder()).env("PATH", path).stdin(Stdio::null());
    for (name, _) in hitherto_cli::ENVIRONMENT {
        shell.env_remove(name);
    }
    let output = shell.output().expect("bash can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

/// Whether `answer` is `line`, `…` standing for anything that is left out.
fn is_shortened(line: &str, answer: &str) -> bool {
    let parts: Vec<&str> = answer.split('…').collect();
    let [first, middle @ .., last] = &parts[..] else { return line == answer };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
