//! What `deny.toml` says of licences and bans, held without another tool.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::workspace::{metadata, read};

/// Two versions of one of these would not understand each other's types.
const ONE_VERSION: [&str; 8] =
    ["arrow", "arrow-array", "datafusion", "deltalake-core", "object_store", "parquet", "prost", "tonic"];

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    let refused: Vec<String> = metadata()
        .packages
        .iter()
        .filter_map(|package| {
            let Some(licence) = package.license.as_deref() else {
                return Some(format!("{} {} names no licence", package.name, package.version));
            };
            (!permits(licence, &allowed)).then(|| format!("{} {}: {licence}", package.name, package.version))
        })
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    assert!(metadata().packages.len() > 200, "cargo metadata must see all dependencies");
}

#[test]
fn nothing_banned_is_linked() {
    let deny = read("deny.toml");
    let banned: Vec<&str> =
        deny.lines().filter_map(|line| line.trim().strip_prefix("{ name = \"")?.split('"').next()).collect();
    assert!(banned.contains(&"openssl-sys") && banned.contains(&"native-tls"), "{banned:?}");
    for package in &metadata().packages {
        assert!(!banned.contains(&package.name.as_str()), "{} is banned by deny.toml", package.name);
    }
}

#[test]
fn libraries_whose_types_travel_have_one_version() {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata().packages {
        versions.entry(package.name.as_str()).or_default().insert(package.version.to_string());
    }
    for name in ONE_VERSION {
        assert_eq!(versions.get(name).map(BTreeSet::len), Some(1), "{name}: {:?}", versions.get(name));
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("Unlicense / GPL-3.0-only", false),
        ("MIT AND GPL-3.0-only", false),
        ("MIT AND ISC OR GPL-3.0-only", true),
        ("GPL-3.0-only OR ISC AND Unlicense", false),
        ("ISC AND (GPL-3.0-only OR MIT)", true),
        ("ISC AND (GPL-3.0-only OR Unlicense)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("", false),
    ] {
        assert_eq!(permits(expression, &allowed), expected, "{expression}");
    }
}

/// The licences that `deny.toml` allows.
fn allowed() -> Vec<String> {
    let deny = read("deny.toml");
    let list = deny.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list `allow`").0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with the allowed licences alone: OR binds least, then AND, then WITH.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words, allowed: &[String]) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words, allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words, allowed: &[String]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let met = any(words, allowed);
        return words.next() == Some(")") && met;
    }
    let mut licence = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&licence)
}
