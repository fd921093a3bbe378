//! What a scan says of its rows before they are read.

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use hitherto_core::Created;

use super::columns::{Column, Layout};
use super::extent::Extent;
use crate::types::UTC;

/// Ends of values, where both are known.
type Ends = Option<(i64, i64)>;

/// The ends of a layout's columns of times and sequences over row groups of these extents. Rows may be left out, so an end
/// need not be a value.
pub(super) fn ends(layout: &Layout, extents: &[Extent], created: Created) -> Statistics {
    let mut statistics = Statistics::new_unknown(layout.schema());
    for (column, known) in layout.columns().iter().zip(&mut statistics.column_statistics) {
        let ends = match column {
            Column::Event => over(extents, |extent| extent.event),
            Column::Created => over(extents, |extent| extent.created),
            Column::Sequence => over(extents, |extent| extent.sequence),
            Column::Available(delay) => over(extents, |extent| {
                let (first, last) = extent.available(*delay, created);
                first.zip(last)
            }),
            Column::Key(_) | Column::Feature(_) | Column::Deleted | Column::Ingested => None,
        };
        let Some((min, max)) = ends else { continue };
        let value = |number: i64| match column {
            Column::Sequence => ScalarValue::Int64(Some(number)),
            _ => ScalarValue::TimestampMicrosecond(Some(number), Some(UTC.into())),
        };
        *known = ColumnStatistics {
            min_value: Precision::Inexact(value(min)),
            max_value: Precision::Inexact(value(max)),
            ..ColumnStatistics::new_unknown()
        };
    }
    statistics
}

/// The ends of all; `None` where one does not tell.
fn over(extents: &[Extent], of: impl Fn(&Extent) -> Ends) -> Ends {
    let mut ends = extents.iter().map(of);
    let first = ends.next()??;
    ends.try_fold(first, |(min, max), next| next.map(|(first, last)| (min.min(first), max.max(last))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_all_row_groups_that_tell() {
        let extent = |event: Ends, sequence: Ends| Extent { event, created: None, sequence };
        let both = [extent(Some((3, 8)), Some((0, 9))), extent(Some((-1, 5)), None)];
        assert_eq!(over(&both, |extent| extent.event), Some((-1, 8)));
        assert_eq!(over(&both, |extent| extent.sequence), None);
        assert_eq!(over(&[], |extent| extent.event), None);
    }
}
