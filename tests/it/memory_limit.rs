//! Training sets within a memory limit: the same bytes in parts, from a file or a query; and what `--explain` says of it.

use std::fmt::Write as _;
use std::fs;

use crate::support::Hitherto;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
ttl: 20m
features: {v: int64, note: string}
---
kind: feature_set
name: latest
features: ['readings:*']
transforms:
  - {name: twice, expr: 'readings__v * 2'}
";

fn laid_out() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    let mut history = "k,event_timestamp,v,note\n".to_owned();
    let mut spine = "k,event_timestamp,label\n".to_owned();
    for row in 0..12_000 {
        let (minute, second) = (row / 60 % 60, row % 60);
        writeln!(history, "{},2024-01-01T00:{minute:02}:{second:02}Z,{row},note {row}", row * 7 % 900).expect("memory");
        writeln!(spine, "{},2024-01-01T00:{second:02}:{minute:02}Z,{}", row * 11 % 1000, row % 2).expect("memory");
    }
    place.write("history.csv", history).write("spine.csv", spine);
    place.ok("ingest readings history.csv");
    place
}

/// The file that `flags` give, and what was said on stderr.
fn built(place: &Hitherto, flags: &str) -> (Vec<u8>, String) {
    let ran = place
        .run(&format!("training-set --feature-set latest --out out.parquet --fresh --explain {flags}"))
        .expect_code(0);
    (fs::read(place.path("out.parquet")).expect("the training set"), ran.stderr)
}

/// `spine: 12,000 rows in 7 bands, …`
fn bands(said: &str) -> usize {
    let number = said.split_once(" rows in ").and_then(|(_, rest)| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no bands in {said}"))
}

#[test]
fn less_memory_gives_the_same_bytes_in_more_bands() {
    let place = laid_out();
    for spine in ["--spine spine.csv", "--spine-sql 'select k, event_timestamp, v as before from readings'"] {
        let (whole, said) = built(&place, spine);
        assert_eq!(bands(&said), 1, "{said}");
        let mut before = 1;
        for limit in ["1MiB", "512KiB"] {
            let (same, said) = built(&place, &format!("{spine} --memory-limit {limit}"));
            assert!(bands(&said) > before, "{limit}: {said}");
            before = bands(&said);
            assert!(same == whole, "{spine}: other bytes with {limit}");
        }
        let refused =
            place.fails(&format!("training-set --feature-set latest --out none.parquet {spine} --memory-limit 20KiB"));
        assert!(refused.starts_with("error: could not build the training set within the memory limit: "), "{refused}");
        assert!(refused.ends_with("; raise --memory-limit\n"), "{refused}");
        assert!(!place.path("none.parquet").exists());
    }
    let usage =
        place.run("training-set --feature-set latest --out x --spine spine.csv --memory-limit many").expect_code(2);
    assert!(usage.stderr.contains("'many' is no amount of memory: write it like 512MiB or 4GB"), "{}", usage.stderr);
    place.write("hitherto.toml", "[offline]\nmemory_limit = \"1MiB\"\n");
    assert!(bands(&built(&place, "--spine spine.csv").1) > 1, "the file's limit counts");
}

#[test]
fn explain_says_what_was_read_and_what_was_skipped() {
    let place = laid_out();
    place.write("late.csv", "k,event_timestamp\n1,2023-01-01T00:00:00Z\n");
    let (_, said) = built(&place, "--spine late.csv");
    assert!(said.contains("readings: files 0 of 1, row groups 0 of 0"), "all of it is later than the spine: {said}");
    let (_, said) = built(&place, "--spine spine.csv");
    let line = said.lines().find(|line| line.starts_with("readings: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("files 1 of 1, row groups 1 of 1, rows in pages 12,000 of 12,000; 12,000 rows probed"),
        "{line}"
    );
}
