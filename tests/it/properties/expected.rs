//! What the reference rule says of a case, cell by cell.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use hitherto_core::{Outcome, Timestamp};
use hitherto_engine::EvidenceColumns;
use hitherto_offline::value_at;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::case::{Case, Row, SpineRow, View};
use super::place::spine;

/// The rows of one view as the rule looks at them, and as they were sent.
pub(super) type Committed = Vec<(hitherto_core::Row, Row)>;

/// Every column and cell of `built`: the spine untouched, then features, then evidence.
pub(super) fn compare(case: &Case, committed: &[Committed], built: &RecordBatch) -> Result<(), TestCaseError> {
    let (spine, wanted, uses) = (spine(case), case.wanted(), case.uses());
    prop_assert_eq!(built.num_rows(), case.spine.len(), "rows out are rows in");
    let mut names: Vec<String> = spine.schema().fields().iter().map(|field| field.name().clone()).collect();
    names.extend(wanted.iter().map(|wanted| wanted.name.clone()));
    if case.evidence == EvidenceColumns::Times {
        let evidence = |alias: &str| [format!("{alias}__event_timestamp"), format!("{alias}__available_at")];
        names.extend(uses.iter().flat_map(|(alias, ..)| evidence(alias)));
    }
    let found: Vec<String> = built.schema().fields().iter().map(|field| field.name().clone()).collect();
    prop_assert_eq!(&found, &names);
    for (index, column) in spine.columns().iter().enumerate() {
        prop_assert_eq!(built.column(index), column, "the spine's column {} was touched", &names[index]);
    }
    let after_spine = &built.columns()[spine.num_columns()..];
    let (features, evidence) = after_spine.split_at(wanted.len());
    for (wanted, column) in wanted.iter().zip(features) {
        let value_type = &case.views[wanted.view].features[wanted.feature];
        for (index, row) in case.spine.iter().enumerate() {
            let winner = winner(case, &committed[wanted.view], wanted.view, row, wanted.columns);
            let expected = winner.map(|(_, row)| row.value(wanted.feature, value_type));
            let found = value_at(column, index, value_type).expect("a column of the feature's type");
            prop_assert_eq!(found, expected.unwrap_or(hitherto_core::Value::Null), "{} in row {}", wanted.name, index);
        }
    }
    for ((alias, view, columns), times) in uses.iter().zip(evidence.chunks(2)) {
        for (index, row) in case.spine.iter().enumerate() {
            let winner = winner(case, &committed[*view], *view, row, *columns).map(|(winner, _)| *winner);
            let expected = winner.map(|row| (row.event, case.views[*view].reading().available_at(&row)));
            let found = time(&times[0], index).zip(time(&times[1], index));
            prop_assert_eq!(found, expected, "evidence of {} in row {}", alias, index);
        }
    }
    Ok(())
}

/// The row behind the features of one spine row, unless they are withheld.
fn winner<'a>(
    case: &Case,
    committed: &'a Committed,
    view: usize,
    spine: &SpineRow,
    (left, right): (usize, usize),
) -> Option<&'a (hitherto_core::Row, Row)> {
    let view = &case.views[view];
    let (a, b) = (spine.a[left], spine.b[right]);
    let matching: Vec<&(hitherto_core::Row, Row)> =
        committed.iter().filter(|(_, row)| matches(view, row, a, b)).collect();
    let rows: Vec<hitherto_core::Row> = matching.iter().map(|(row, _)| *row).collect();
    match hitherto_core::answer(&rows, view.reading(), Timestamp(spine.t), case.mode) {
        Outcome::Row(index) => Some(matching[index]),
        Outcome::NoRow | Outcome::Deleted | Outcome::Expired => None,
    }
}

fn matches(view: &View, row: &Row, a: Option<i64>, b: Option<&str>) -> bool {
    let left = !view.keys.left() || (a.is_some() && row.a == a);
    let right = !view.keys.right() || (b.is_some() && row.b == b);
    left && right
}

fn time(column: &ArrayRef, row: usize) -> Option<Timestamp> {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    times.is_valid(row).then(|| Timestamp(times.value(row)))
}
