//! The certificate against the reference: what the rule answers is proven, and nothing else is.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use hitherto_core::{Mode, Outcome, Reading, Row, Span, Timestamp, answer};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Cause, Causes, Claim, Evidence, HistoryColumns, Proof, Proposal, Questions, ViewReport};

/// Columns of a training set: key, time, feature, winner's event time, its availability.
const FEATURE: usize = 2;

/// A view's history, its reading, and who asks what of it.
#[derive(Clone, Debug)]
struct Case {
    reading: Reading,
    mode: Mode,
    created: bool,
    /// Key, row, feature.
    history: Vec<(Option<i64>, Row, Option<i64>)>,
    /// Key and time.
    spine: Vec<(Option<i64>, Timestamp)>,
}

/// The columns of a training set beside its keys and times.
#[derive(Clone)]
struct Cells {
    feature: Vec<Option<i64>>,
    event: Vec<Option<i64>>,
    available: Vec<Option<i64>>,
}

fn time(range: std::ops::Range<i64>) -> impl Strategy<Value = Timestamp> {
    range.prop_map(Timestamp)
}

fn key() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![9 => (0..4_i64).prop_map(Some), 1 => Just(None)]
}

fn case() -> impl Strategy<Value = Case> {
    let row = (0..4_i64, time(0..40), time(0..60), prop::bool::weighted(0.15), prop::option::weighted(0.9, 0..5_i64));
    let settings = (0..12_i64, prop::option::of(0..20_i64), any::<bool>(), any::<bool>());
    (settings, vec(row, 0..60), vec((key(), time(-5..70)), 1..40)).prop_map(
        |((delay, ttl, created, event), rows, spine)| {
            let span = |micros| Span::from_micros(micros).expect("a span");
            let history = rows.into_iter().enumerate().map(|(sequence, (key, event, made, deleted, feature))| {
                let created = created.then_some(made);
                (Some(key), Row { event, created, sequence: sequence as i64, deleted }, feature)
            });
            Case {
                reading: Reading { source_delay: span(delay), ttl: ttl.map(span) },
                mode: if event { Mode::Event } else { Mode::Knowledge },
                created,
                history: history.collect(),
                spine,
            }
        },
    )
}

impl Case {
    /// What the rule, quadratic and obvious, answers.
    fn answers(&self) -> Cells {
        let mut cells = Cells { feature: Vec::new(), event: Vec::new(), available: Vec::new() };
        for (key, t) in &self.spine {
            let same: Vec<_> = self.history.iter().filter(|(of, ..)| of == key && key.is_some()).collect();
            let rows: Vec<Row> = same.iter().map(|(_, row, _)| *row).collect();
            let found = match answer(&rows, self.reading, *t, self.mode) {
                Outcome::Row(index) => Some((rows[index], same[index].2)),
                Outcome::NoRow | Outcome::Deleted | Outcome::Expired => None,
            };
            cells.feature.push(found.and_then(|(_, feature)| feature));
            cells.event.push(found.map(|(row, _)| row.event.0));
            cells.available.push(found.map(|(row, _)| self.reading.available_at(&row).0));
        }
        cells
    }

    fn band(&self, cells: &Cells) -> RecordBatch {
        let keys: ArrayRef = Arc::new(self.spine.iter().map(|(key, _)| *key).collect::<Int64Array>());
        let times: Vec<i64> = self.spine.iter().map(|(_, time)| time.0).collect();
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
        let feature: ArrayRef = Arc::new(Int64Array::from(cells.feature.clone()));
        let event: ArrayRef = Arc::new(TimestampMicrosecondArray::from(cells.event.clone()));
        let available: ArrayRef = Arc::new(TimestampMicrosecondArray::from(cells.available.clone()));
        let columns =
            [("k", keys), ("t", times), ("f", feature), ("f__event_timestamp", event), ("f__available_at", available)];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("a band")
    }

    /// History in batches of `size` rows, the last ones first.
    fn batches(&self, size: usize) -> Vec<RecordBatch> {
        self.history.chunks(size).rev().map(|rows| self.batch(rows)).collect()
    }

    fn batch(&self, rows: &[(Option<i64>, Row, Option<i64>)]) -> RecordBatch {
        let times = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, row, _)| of(row))))
        };
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(rows.iter().map(|(key, ..)| *key).collect::<Int64Array>())),
            ("event_timestamp", times(&|row| row.event.0)),
        ];
        if self.created {
            columns.push(("created_timestamp", times(&|row| row.created.map_or(0, |created| created.0))));
        }
        columns
            .push(("_deleted", Arc::new(rows.iter().map(|(_, row, _)| Some(row.deleted)).collect::<BooleanArray>())));
        columns
            .push(("_sequence", Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, row, _)| row.sequence)))));
        columns.push(("f", Arc::new(rows.iter().map(|(.., feature)| *feature).collect::<Int64Array>())));
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).expect("rows of history")
    }

    fn claim(&self) -> Claim {
        Claim {
            view: "v".to_owned(),
            reading: self.reading,
            mode: self.mode,
            keys: vec![(0, DataType::Int64)],
            time: 1,
            features: vec![FEATURE],
            evidence: Some(Evidence { event: 3, available: 4 }),
        }
    }

    fn columns(&self) -> HistoryColumns {
        HistoryColumns { keys: 1, created: self.created }
    }

    /// All three passes, each over two parts of history; the first one sees `proposed` alone.
    fn judge(&self, cells: &Cells, proposed: &[RecordBatch], history: &[RecordBatch]) -> ViewReport {
        let (band, claim, columns) = (self.band(cells), self.claim(), self.columns());
        let questions = Arc::new(Questions::of(&band, &claim.keys, claim.time).expect("questions"));
        let mut proposals = [Proposal::new(&questions), Proposal::new(&questions)];
        for (place, batch) in proposed.iter().enumerate() {
            proposals[place % 2].add(&questions, &claim, columns, batch).expect("a pass over history");
        }
        let [mut proposal, other] = proposals;
        proposal.merge(&other);
        let types = [DataType::Int64];
        let proof = Proof::new(proposal, questions, claim, columns, &types, &band, 8).expect("a proof");
        let mut proofs = [proof.clone(), proof];
        for (place, batch) in history.iter().enumerate() {
            proofs[place % 2].add(batch).expect("a pass over history");
        }
        let [mut proof, other] = proofs;
        proof.merge(other);
        let findings = proof.finish().expect("findings");
        let causes = findings.causes().expect("causes").map(|causes| explained(causes, history));
        findings.conclude(causes.as_ref(), 0).expect("a report")
    }
}

fn explained(causes: Causes, history: &[RecordBatch]) -> Causes {
    let mut parts = [causes.clone(), causes];
    for (place, batch) in history.iter().enumerate() {
        parts[place % 2].add(batch).expect("a pass over history");
    }
    let [mut causes, other] = parts;
    causes.merge(other);
    causes
}

#[test]
fn a_key_with_more_rows_than_a_sample_holds_is_asked_again() {
    let row = |sequence: i64| {
        let created = Some(Timestamp(sequence + sequence % 7));
        let row = Row { event: Timestamp(sequence), created, sequence, deleted: sequence % 11 == 0 };
        (Some(1), row, Some(sequence))
    };
    let case = Case {
        reading: Reading { source_delay: Span::ZERO, ttl: None },
        mode: Mode::Knowledge,
        created: true,
        history: (0..250_000).map(row).collect(),
        spine: (1..40).map(|place| (Some(1), Timestamp(place * 6_001))).collect(),
    };
    let history = case.batches(8_192);
    let report = case.judge(&case.answers(), &history, &history);
    assert!(report.is_proven(), "{report:#?}");
    assert!(report.sampled >= 4, "{report:#?}");
    let unasked = ViewReport { sampled: 0, ..report.clone() };
    assert!(!unasked.is_proven(), "nothing was asked again");
    let unanswered = ViewReport { rows: 3, no_row: 3, ..ViewReport::default() };
    assert!(unanswered.is_proven(), "there is nothing to ask again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_the_rule_answers_is_proven(case in case(), size in 1..20_usize) {
        let history = case.batches(size);
        let report = case.judge(&case.answers(), &history, &history);
        prop_assert!(report.is_proven(), "{report:#?}");
        prop_assert_eq!(report.history_rows, case.history.len() as u64);
        prop_assert!(case.spine.iter().all(|(key, _)| key.is_none()) || report.sampled > 0);
    }

    #[test]
    fn one_wrong_cell_is_found_and_named(case in case(), size in 1..20_usize, place in any::<prop::sample::Index>()) {
        let row = place.index(case.spine.len());
        let mut cells = case.answers();
        // a value that no row has
        cells.feature[row] = Some(99);
        let report = case.judge(&cells, &case.batches(size), &case.batches(size));
        prop_assert!(!report.is_proven());
        prop_assert_eq!((report.wrong_cells, report.unknown, report.unproven), (1, 1, 0));
        let fault = &report.faults[0];
        prop_assert_eq!((fault.row, fault.column.as_str(), fault.time), (row as u64 + 1, "f", case.spine[row].1));
        prop_assert_eq!(fault.found.as_deref(), Some("99"));
        prop_assert_eq!(fault.known.clone(), case.answers().feature[row].map(|value| value.to_string()));
    }

    #[test]
    fn a_lost_value_is_missing(case in case(), size in 1..20_usize) {
        let mut cells = case.answers();
        let held: Vec<usize> = (0..cells.feature.len()).filter(|&row| cells.feature[row].is_some()).collect();
        for &row in &held {
            cells.feature[row] = None;
        }
        let report = case.judge(&cells, &case.batches(size), &case.batches(size));
        prop_assert_eq!((report.wrong_cells, report.missing), (held.len() as u64, held.len() as u64));
    }

    #[test]
    fn evidence_of_another_row_is_found(case in case(), size in 1..20_usize, place in any::<prop::sample::Index>()) {
        let row = place.index(case.spine.len());
        let mut cells = case.answers();
        cells.available[row] = Some(cells.available[row].map_or(0, |time| time + 1));
        let report = case.judge(&cells, &case.batches(size), &case.batches(size));
        prop_assert_eq!(report.wrong_cells, 1);
        prop_assert_eq!(report.faults[0].column.as_str(), "f__available_at");
    }

    /// A training set by the wrong rule passes only where both rules agree.
    #[test]
    fn a_set_by_the_other_mode_is_proven_only_where_it_is_the_same(case in case(), size in 1..20_usize) {
        let mode = if case.mode == Mode::Event { Mode::Knowledge } else { Mode::Event };
        let other = Case { mode, ..case.clone() }.answers();
        let (right, history) = (case.answers(), case.batches(size));
        let report = case.judge(&other, &history, &history);
        let differ = |a: &[Option<i64>], b: &[Option<i64>]| a.iter().zip(b).filter(|(a, b)| a != b).count() as u64;
        let wrong = differ(&other.feature, &right.feature)
            + differ(&other.event, &right.event)
            + differ(&other.available, &right.available);
        prop_assert_eq!(report.wrong_cells, wrong);
        prop_assert_eq!(report.is_proven(), wrong == 0);
    }

    /// The proposal is not trusted: made of a part of history, it either guesses right or nothing is proven.
    #[test]
    fn a_faulty_proposal_makes_no_faulty_proof(case in case(), size in 1..10_usize, seen in 0..6_usize) {
        let history = case.batches(size);
        let partly = &history[..seen.min(history.len())];
        // the training set that the part of history would give
        let rows: Vec<_> = case.history.iter().rev().take(partly.iter().map(RecordBatch::num_rows).sum()).copied().collect();
        let cells = Case { history: rows, ..case.clone() }.answers();
        let report = case.judge(&cells, partly, &history);
        let right = case.answers();
        let same = cells.feature == right.feature && cells.event == right.event && cells.available == right.available;
        prop_assert!(same || !report.is_proven(), "{report:#?}");
    }

    /// History that changes between the passes proves nothing.
    #[test]
    fn a_winner_that_is_not_met_again_is_not_proven(case in case(), size in 1..20_usize) {
        let cells = case.answers();
        let Some(row) = cells.event.iter().position(Option::is_some) else { return Ok(()) };
        let key = case.spine[row].0;
        let rest = Case { history: case.history.iter().filter(|(of, ..)| *of != key).copied().collect(), ..case.clone() };
        let report = case.judge(&cells, &case.batches(size), &rest.batches(size));
        prop_assert!(report.unproven > 0 && !report.is_proven());
    }
}

#[test]
fn a_leak_is_told_with_the_time_from_which_its_value_was_known() {
    let row = |event: i64, created: i64, sequence: i64| Row {
        event: Timestamp(event),
        created: Some(Timestamp(created)),
        sequence,
        deleted: false,
    };
    let case = Case {
        reading: Reading { source_delay: Span::ZERO, ttl: None },
        mode: Mode::Knowledge,
        created: true,
        history: vec![(Some(1), row(10, 11, 0), Some(7)), (Some(1), row(20, 50, 1), Some(8))],
        spine: vec![(Some(1), Timestamp(30)), (Some(1), Timestamp(60))],
    };
    let history = case.batches(1);
    let told = |features: [i64; 2]| {
        let cells = Cells { feature: features.map(Some).to_vec(), ..case.answers() };
        let faults = case.judge(&cells, &history, &history).faults;
        faults.into_iter().map(|fault| (fault.row, fault.cause)).collect::<Vec<_>>()
    };
    assert_eq!(told([7, 8]), []);
    assert_eq!(told([8, 8]), [(1, Cause::Leaked(Timestamp(50)))]);
    assert_eq!(told([7, 7]), [(2, Cause::Superseded)]);
    assert_eq!(told([9, 8]), [(1, Cause::Unknown)]);
}
