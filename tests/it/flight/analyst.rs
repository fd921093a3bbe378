//! The analyst's page: what it tells to type works, and answers so.

use std::process::Command;

use crate::support::process::Served;
use crate::support::workspace::read;
use crate::support::{Hitherto, Ran, python_says};

/// Where the page says that the server is.
const ADDRESS: &str = "grpc://127.0.0.1:7420";
/// The same for psql.
const PSQL: &str = "psql -h 127.0.0.1 -p 7432 ";

#[test]
fn every_command_of_the_page_runs_and_answers_so() {
    let page = read("docs/analyst.md");
    let blocks = blocks(&page);
    // removed at the end, while `place` goes from folder to folder
    let home = Hitherto::new();
    let (mut place, mut server) = (Hitherto::in_folder(home.folder()), None);
    let (mut scripts, mut asked, mut said) = (0, 0, String::new());
    for (language, text) in &blocks {
        match *language {
            "console" if text.starts_with("$ psql ") => {
                let server: &Served = server.as_ref().expect("a server is started before");
                asked += asks(text, server.postgres.as_deref().expect("it speaks PostgreSQL's protocol"));
            }
            "console" => server = Some(typed(text, &mut place)),
            "python" => {
                let server: &Served = server.as_ref().expect("the page begins with a server");
                assert!(text.contains(ADDRESS), "{text}");
                scripts += 1;
                let file = format!("page_{scripts}.py");
                place.write(&file, text.replace(ADDRESS, &server.grpc.replace("http:", "grpc:")));
                said = python_says(&place.path(&file));
            }
            "text" => assert_eq!(said.trim_end(), text.trim_end()),
            // shown with a token and a machine that are nobody's
            "sh" => {}
            other => panic!("a block of '{other}' is not understood"),
        }
    }
    assert_eq!((scripts, asked), (3, 4), "{blocks:?}");
}

/// Runs what is typed, the server last.
fn typed(session: &str, place: &mut Hitherto) -> Served {
    let mut server = None;
    for line in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
        if let Some(folder) = line.strip_prefix("cd ") {
            *place = Hitherto::in_folder(place.path(folder));
        } else if let Some(flags) = line.strip_prefix("hitherto serve") {
            // every port is free here, whatever the page says
            server = Some(place.serve(if flags.is_empty() { "" } else { "--postgres 127.0.0.1:0" }));
        } else {
            place.ok(line.strip_prefix("hitherto ").expect("a command of ours"));
        }
    }
    server.expect("a server is started")
}

/// Asks what is typed of psql, and finds each line of the answer in what comes; how many were asked.
fn asks(session: &str, address: &str) -> usize {
    let (host, port) = address.rsplit_once(':').expect("a host and a port");
    let steps: Vec<&str> = session.split("$ ").filter(|step| !step.is_empty()).collect();
    for step in &steps {
        let (line, answer) = step.split_once('\n').expect("a command is a line");
        let line = line.replace(PSQL, &format!("psql -X -h {host} -p {port} "));
        let output = Command::new("bash").arg("-c").arg(&line).env("PGUSER", "ada").env("PAGER", "cat").output();
        let ran = Ran::of(&line, output.expect("bash can be started")).expect_code(0);
        let lines: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
        for answer in answer.lines().map(str::trim_end) {
            assert!(lines.contains(&answer), "{line} says no line '{answer}':\n{}", ran.stdout);
        }
    }
    steps.len()
}

/// The page's blocks of code: language and text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                blocks.push((language, String::new()));
            }
        } else if let Some((_, text)) = blocks.last_mut().filter(|_| inside) {
            text.push_str(line);
            text.push('\n');
        }
    }
    blocks
}
