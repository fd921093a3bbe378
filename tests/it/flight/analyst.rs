//! The analyst's page: what it tells to type works, and answers so.

use crate::support::process::Served;
use crate::support::workspace::read;
use crate::support::{Hitherto, python_says};

/// Where the page says that the server is.
const ADDRESS: &str = "grpc://127.0.0.1:7420";

#[test]
fn every_command_of_the_page_runs_and_answers_so() {
    let page = read("docs/analyst.md");
    let blocks = blocks(&page);
    // removed at the end, while `place` goes from folder to folder
    let home = Hitherto::new();
    let (mut place, mut server) = (Hitherto::in_folder(home.folder()), None);
    let (mut scripts, mut said) = (0, String::new());
    for (language, text) in &blocks {
        match *language {
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
            other => panic!("a block of '{other}' is not understood"),
        }
    }
    assert_eq!(scripts, 3, "{blocks:?}");
}

/// Runs what is typed, the server last.
fn typed(session: &str, place: &mut Hitherto) -> Served {
    let mut server = None;
    for line in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
        if let Some(folder) = line.strip_prefix("cd ") {
            *place = Hitherto::in_folder(place.path(folder));
        } else if line == "hitherto serve" {
            server = Some(place.serve(""));
        } else {
            place.ok(line.strip_prefix("hitherto ").expect("a command of ours"));
        }
    }
    server.expect("a server is started")
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
