//! The house's habits, held: sizes, names, and words that have no place in it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::workspace::{files, metadata, read, root};

/// Lines of a source file before its tests.
const LINES: usize = 500;
/// Lines of an architecture decision record: one page.
const RECORD: usize = 80;

#[test]
fn no_file_grows_without_end() {
    let long: Vec<String> = files(&[".rs"])
        .into_iter()
        .map(|(path, text)| (path, before_tests(&text).lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn nothing_is_silenced_or_left_undone() {
    // written in two parts, because this file is searched as well
    let everywhere = [
        concat!("#[", "allow("),
        concat!("#![", "allow("),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
    ];
    refuse(&files(&[".rs"]), &everywhere);
}

#[test]
fn tests_do_not_sleep() {
    let words = [concat!("thread::", "sleep"), concat!("time::", "sleep"), concat!("sleep", "_until")];
    let tests: Vec<_> = files(&[".rs"])
        .into_iter()
        .map(|(path, text)| {
            let tests = if is_test(&path) { text } else { text[before_tests(&text).len()..].to_owned() };
            (path, tests)
        })
        .collect();
    refuse(&tests, &words);
}

#[test]
fn products_do_not_unwrap() {
    let products: Vec<_> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| {
            let code: Vec<&str> =
                before_tests(&text).lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            (path, code.join("\n"))
        })
        .collect();
    refuse(&products, &[concat!(".unwrap", "()")]);
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let texts = files(&[".rs", ".md", ".toml", ".yaml", ".yml", ".proto", ".sh", ".py", ".json"]);
    refuse(&texts, &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")]);
}

#[test]
fn names_say_what_is_inside() {
    for (path, _) in files(&[".rs", ".py"]) {
        let stem = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let vague = ["common", "util", "utils", "helper", "helpers", "misc", "manager", "handler", "info"];
        assert!(!vague.contains(&stem.as_str()), "{path}: a name that attracts everything");
    }
}

#[test]
fn every_lib_is_a_table_of_contents() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        let lib = folder.join("src/lib.rs");
        let text = std::fs::read_to_string(&lib).unwrap_or_else(|error| panic!("{lib}: {error}"));
        assert!(text.starts_with("//!"), "{lib} says what the crate is");
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with(['/', '#'])).collect();
        for statement in code.join(" ").split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let entry = ["mod ", "pub mod ", "use ", "pub use "].iter().any(|word| statement.starts_with(word));
            assert!(entry, "{lib} has code: {statement}");
        }
    }
}

#[test]
fn every_crate_keeps_the_lints() {
    for package in metadata().workspace_packages() {
        let text = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        assert!(text.contains("[lints]\nworkspace = true"), "{} has lints of its own", package.name);
    }
}

#[test]
fn unsafe_is_where_it_is_known_to_be() {
    // denied everywhere, so whoever uses it must name the lint; written in two parts, because this file is searched as well
    let with = files(&[".rs"]).into_iter().filter(|(_, text)| text.contains(concat!("unsafe", "_code")));
    let with: Vec<String> = with.map(|(path, _)| path).collect();
    assert_eq!(with, ["crates/online/src/embedded/environment.rs", "src/allocator.rs"]);
}

#[test]
fn decisions_are_numbered_and_short() {
    let mut numbers = Vec::new();
    for (path, text) in files(&[".md"]).into_iter().filter(|(path, _)| path.starts_with("docs/adr/")) {
        let name = path.trim_start_matches("docs/adr/");
        let (number, title) = name.split_once('-').unwrap_or_else(|| panic!("{path}: write it like 0001-a-title.md"));
        assert!(number.len() == 4 && title.len() > 4, "{path}: write it like 0001-a-title.md");
        numbers.push(number.parse::<usize>().unwrap_or_else(|error| panic!("{path}: {error}")));
        assert!(text.starts_with("# "), "{path} begins with its title");
        assert!(text.lines().count() <= RECORD, "{path} has {} lines, a page has {RECORD}", text.lines().count());
    }
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "one decision a number, no number skipped");
}

#[test]
fn every_variable_of_the_environment_is_declared_and_documented() {
    let declared: BTreeSet<&str> = hitherto_cli::ENVIRONMENT.into_iter().map(|(name, _)| name).collect();
    for (path, text) in files(&[".rs"]).into_iter().filter(|(path, _)| path.starts_with("src/")) {
        let read = text.split('"').filter(|word| word.strip_prefix("HITHERTO_").is_some_and(|rest| !rest.is_empty()));
        for name in read.filter(|word| word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')) {
            assert!(declared.contains(name), "{path} reads {name}, which ENVIRONMENT does not declare");
        }
    }
    if root().join("README.md").is_file() {
        let readme = read("README.md");
        for name in declared {
            assert!(readme.contains(name), "README.md does not say what {name} does");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut dead = Vec::new();
    for (path, text) in files(&[".md"]) {
        let folder = root().join(&path).parent().expect("a file lies in a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                dead.push(format!("{path}: {link}"));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

/// A source up to its own tests.
fn before_tests(text: &str) -> &str {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    &text[..end]
}

/// Whether a whole file is tests, or stands in for something in tests.
fn is_test(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let folder = |name: &str| parts.contains(&name);
    folder("tests")
        || folder("benches")
        || folder("conformance")
        || path.ends_with("tests.rs")
        || path.ends_with("fixture.rs")
}

#[track_caller]
fn refuse(texts: &[(String, String)], words: &[&str]) {
    let mut found = Vec::new();
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            found.extend(
                words.iter().filter(|word| line.contains(**word)).map(|word| format!("{path}:{}: {word}", index + 1)),
            );
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
