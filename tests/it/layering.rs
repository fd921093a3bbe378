//! Which room may lean on which: ARCHITECTURE.md draws it, cargo knows it.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Package};

use crate::support::workspace::{files, metadata};

/// Every edge between the rooms, tests aside.
const EDGES: [(&str, &[&str]); 11] = [
    ("asof", &[]),
    ("certificate", &["core"]),
    ("client", &["core", "proto"]),
    ("core", &[]),
    ("engine", &["asof", "certificate", "core", "offline", "online", "registry"]),
    ("hitherto", &["certificate", "client", "core", "engine", "offline", "online", "registry", "server"]),
    ("offline", &["asof", "core"]),
    ("online", &["core"]),
    ("proto", &["core"]),
    ("registry", &["core"]),
    ("server", &["core", "engine", "offline", "online", "proto", "registry"]),
];

/// Who alone may know a library.
const KNOWN_TO: [(&str, &[&str]); 23] = [
    ("arrow-flight", &["server"]),
    ("arrow-pg", &["server"]),
    ("axum", &["server"]),
    ("clap", &["hitherto"]),
    ("config", &["hitherto"]),
    ("datafusion-pg-catalog", &["server"]),
    ("deltalake-core", &["offline"]),
    // the load generator's, which is no part of the product
    ("h2", &[]),
    ("heed", &["online"]),
    ("hyper", &["server"]),
    ("hyper-util", &["server"]),
    ("object_store", &["offline"]),
    ("opentelemetry", &["hitherto", "server"]),
    ("opentelemetry-otlp", &["hitherto"]),
    ("opentelemetry_sdk", &["hitherto", "server"]),
    ("pgwire", &["server"]),
    ("prost", &["proto"]),
    ("redis", &["online"]),
    ("reqwest", &["hitherto"]),
    ("sqlx", &["registry"]),
    ("tokio-rustls", &["server"]),
    ("tonic", &["client", "proto", "server"]),
    ("tracing-opentelemetry", &["hitherto", "server"]),
];

/// All that the rooms at the bottom lean on.
const WHOLE: [(&str, &[&str]); 3] = [
    ("asof", &["arrow", "datafusion", "futures", "hashbrown", "thiserror", "tokio"]),
    ("certificate", &["arrow", "core", "hashbrown", "serde", "thiserror"]),
    ("core", &["chrono", "hex", "saphyr-parser", "serde", "serde_json", "sha2", "strsim", "thiserror"]),
];

#[test]
fn rooms_lean_on_each_other_only_as_drawn() {
    let found: BTreeMap<String, BTreeSet<String>> = rooms()
        .into_iter()
        .map(|(name, package)| (name, leans_on(package).filter_map(|name| room(&name)).collect()))
        .collect();
    let drawn: BTreeMap<String, BTreeSet<String>> =
        EDGES.into_iter().map(|(name, edges)| (name.to_owned(), owned(edges))).collect();
    assert_eq!(found, drawn);
}

#[test]
fn each_outer_library_is_known_to_its_room_alone() {
    for (library, rooms_that_may) in KNOWN_TO {
        let knows = |package: &Package| leans_on(package).any(|name| name == library || family(&name, library));
        let found: BTreeSet<String> =
            rooms().into_iter().filter(|(_, package)| knows(package)).map(|(name, _)| name).collect();
        assert_eq!(found, owned(rooms_that_may), "{library} is known to");
    }
}

#[test]
fn the_rooms_at_the_bottom_stay_small() {
    for (room, libraries) in WHOLE {
        let short = |name: String| self::room(&name).unwrap_or(name);
        let found: BTreeSet<String> = leans_on(rooms()[room]).map(short).collect();
        assert_eq!(found, owned(libraries), "{room} leans on");
    }
}

/// The certificate is a second path to the answers only as long as nothing of the first one is in it.
#[test]
fn the_certificate_does_not_lean_on_the_as_of_operator_even_through_another_room() {
    let rooms = rooms();
    let (mut reached, mut next) = (BTreeSet::new(), vec!["certificate".to_owned()]);
    while let Some(name) = next.pop() {
        let rooms_below = leans_on(rooms[&name]).filter_map(|name| room(&name));
        next.extend(rooms_below.filter(|below| !reached.contains(below)));
        reached.insert(name);
    }
    assert_eq!(reached, owned(&["certificate", "core"]));
}

/// It is the tests that ask for the load generator; whoever builds the product gets neither it nor what it leans on.
#[test]
fn the_product_has_no_load_generator_in_it() {
    let rooms = rooms();
    let asks = |room: &str, kind: DependencyKind| {
        let needed = rooms[room].dependencies.iter().filter(move |needed| needed.kind == kind);
        needed
            .filter(|needed| needed.name == "hitherto-client")
            .any(|needed| needed.features.contains(&"load".to_owned()))
    };
    assert!(asks("hitherto", DependencyKind::Development), "tests/it/load.rs needs it");
    assert!(rooms.keys().all(|room| !asks(room, DependencyKind::Normal)));
    let features = &rooms["client"].features;
    assert!(features.contains_key("load") && !features.contains_key("default"), "{features:?}");
}

#[test]
fn no_room_is_named_for_everything() {
    for name in rooms().keys() {
        assert!(!["common", "util", "utils", "types", "helpers", "misc", "shared"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_rooms_at_the_bottom_do_no_io_and_read_no_clock() {
    let forbidden = ["std::fs", "std::env", "std::net", "std::process", "std::io", "std::time", "::now()", "async fn"];
    for (path, text) in files(&[".rs"]) {
        let bottom = WHOLE.iter().any(|(room, _)| path.starts_with(&format!("crates/{room}/src")));
        if !bottom || path.contains("/tests") {
            continue;
        }
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in forbidden {
            // an operator of DataFusion measures itself by its own instants, and runs where tokio runs it
            let operator = path.starts_with("crates/asof") && word == "async fn";
            assert!(operator || !product.contains(word), "{path} speaks of {word}");
        }
    }
}

/// Members of the workspace by short name: `core` of `hitherto-core`.
fn rooms() -> BTreeMap<String, &'static Package> {
    let packages = metadata().workspace_packages();
    packages.into_iter().map(|package| (room(&package.name).expect("a room"), package)).collect()
}

fn room(package: &str) -> Option<String> {
    if package == "hitherto" {
        return Some(package.to_owned());
    }
    package.strip_prefix("hitherto-").map(str::to_owned)
}

/// What a package needs to be built, as its manifest says; what only its tests need is left out.
fn leans_on(package: &Package) -> impl Iterator<Item = String> {
    let needed = package.dependencies.iter().filter(|needed| needed.kind == DependencyKind::Normal);
    needed.filter(|needed| !needed.optional).map(|needed| needed.name.clone())
}

/// `tonic-health` is of tonic's family.
fn family(name: &str, library: &str) -> bool {
    name.strip_prefix(library).is_some_and(|rest| rest.starts_with('-'))
}

fn owned(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
