//! What the machine refuses: memory, and room on the disk. Nothing half done stays, and the next try succeeds.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{ChildStdin, Stdio};

use crate::support::random::Random;
use crate::support::readings::NOTED_READINGS;
use crate::support::{Hitherto, Ran};

const HEADING: &str = "k,event_timestamp,v,note\n";

fn applied() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", NOTED_READINGS);
    place.ok("apply -f definitions.yaml");
    place
}

fn count(place: &Hitherto) -> String {
    place.ok("sql --format csv 'select count(*) as n from readings'").replace("n\n", "").trim().to_owned()
}

/// More bytes than the process may have of memory, in rows that cannot be compressed to less. 4 GB do as well, in more time.
#[test]
fn a_file_larger_than_memory_streams_through() {
    const INPUT: u64 = 448 << 20;
    // what it needs is less than half of it, and the allocator keeps more where threads come and go
    const DATA_KIB: u64 = 400 << 10;
    let place = applied();
    let mut command = place.limited(&format!("-d {DATA_KIB}"), "ingest readings - --batch-id large");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary can be started");
    let stdin = child.stdin.take().expect("stdin is piped");
    let pid = child.id();
    let writer = std::thread::spawn(move || write_rows(stdin, INPUT));
    // its greatest size is asked for until it has gone
    let mut most_kib = 0;
    while child.try_wait().expect("the process can be asked").is_none() {
        most_kib = peak_kib(pid).unwrap_or(0).max(most_kib);
        std::thread::yield_now();
    }
    let ran = Ran::of("ingest", child.wait_with_output().expect("it has ended")).expect_code(0);
    let rows = writer.join().expect("all rows are written");
    assert_eq!(
        ran.stdout.split(", _sequence").next().map(|said| said.replace(',', "")),
        Some(format!("readings: {rows} rows"))
    );
    assert_eq!(count(&place), rows.to_string());
    if cfg!(target_os = "linux") {
        assert!(most_kib > 10_000 && most_kib < DATA_KIB, "it took {most_kib} KiB of memory");
    }
}

fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// So many bytes of CSV, and how many rows they were.
fn write_rows(mut to: ChildStdin, bytes: u64) -> u64 {
    const NOTE: usize = 4000;
    let mut random = Random::new(4);
    let letters: Vec<u8> =
        (0..1 << 20).map(|_| b'!' + 2 + random.below(80) as u8).filter(|byte| *byte != b',').collect();
    to.write_all(HEADING.as_bytes()).expect("it reads");
    let (mut rows, mut written) = (0, 0);
    while written < bytes {
        let mut block = Vec::new();
        for _ in 0..100 {
            let from = random.below((letters.len() - NOTE) as u64) as usize;
            write!(block, "{},2024-01-01T00:00:00Z,{rows},", rows % 1_000_003).expect("memory");
            block.extend_from_slice(&letters[from..from + NOTE]);
            block.push(b'\n');
            rows += 1;
        }
        to.write_all(&block).expect("it reads");
        written += block.len() as u64;
    }
    rows
}

#[test]
fn a_disk_that_is_full_at_any_byte_leaves_the_table_as_it_was() {
    let place = applied();
    write_csv(&place, "before.csv", 10);
    write_csv(&place, "rows.csv", 20_000);
    place.ok("ingest readings before.csv");
    let names = names(&place);
    let mut refused = 0;
    // blocks of 512 bytes: the first are too few for the registry's own files, the last enough for all
    for blocks in [0, 1, 7, 63, 64, 65, 66, 70, 80, 100, 150, 200, 300, 400, 600, 4000] {
        let line = "ingest readings rows.csv --batch-id large";
        let output = place.limited(&format!("-f {blocks}"), line).output().expect("it can be started");
        let ran = Ran::of(line, output);
        if ran.code == 0 {
            break;
        }
        refused += 1;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{blocks} blocks: an error, not the end: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: could not "), "{blocks} blocks: {}", ran.stderr);
        if blocks > 64 {
            assert!(
                ran.stderr.contains("File too large") && ran.stderr.contains("; raise the limit"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("offline/readings/"), "it names the file: {}", ran.stderr);
        }
        assert_eq!(count(&place), "10", "{blocks} blocks: nothing of it is visible");
        assert_eq!(self::names(&place), names, "{blocks} blocks: and nothing stays behind");
    }
    assert!((8..16).contains(&refused), "{refused} of the limits were too small");
    place.ok("ingest readings rows.csv --batch-id large");
    assert_eq!(count(&place), "20010");
}

#[test]
fn an_embedded_store_that_cannot_grow_moves_no_mark() {
    let place = applied();
    write_csv(&place, "before.csv", 10);
    write_csv(&place, "rows.csv", 20_000);
    place.ok("ingest readings before.csv --to both");
    place.ok("ingest readings rows.csv");
    for blocks in [80, 200, 600] {
        let limited = |line: &str| {
            let output = place.limited(&format!("-f {blocks}"), line).output().expect("it can be started");
            Ran::of(line, output)
        };
        let ran = limited("materialize").expect_code(1);
        assert!(ran.stderr.contains("could not write to the embedded store at "), "{blocks} blocks: {}", ran.stderr);
        assert!(ran.stderr.contains(".hitherto/online: "), "it names the store: {}", ran.stderr);
        assert!(ran.stderr.contains("free space there"), "and the remedy: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    let done: serde_json::Value = serde_json::from_str(&place.ok("--output json materialize")).expect("JSON");
    assert_eq!(done[0]["rows"], "20,000", "all rows were still to come: {done}");
    let got = place.ok("--output json get --feature-set latest --entity k=19999");
    let got: serde_json::Value = serde_json::from_str(&got).expect("JSON");
    assert_eq!(got["rows"][0]["features"]["readings__v"]["value"], 19_999);
}

/// Rows that come to some 200 KB of Parquet.
fn write_csv(place: &Hitherto, name: &str, rows: usize) {
    let mut random = Random::new(rows as u64);
    let mut text = HEADING.to_owned();
    for row in 0..rows {
        writeln!(text, "{row},2024-01-01T00:00:00Z,{row},{:x}", random.next()).expect("memory");
    }
    place.write(name, text);
}

/// Every file of history.
fn names(place: &Hitherto) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![place.path(".hitherto/offline")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.display().to_string());
            }
        }
    }
    names.sort_unstable();
    names
}
