//! Conditions that rows are held against while they are read: of the other columns, only what passes is decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::and;
use arrow::error::ArrowError;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns, split_conjunction};
use datafusion::physical_expr::{DynamicFilterTracking, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::{is_volatile, snapshot_physical_expr};
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowPredicateFn, RowFilter};

use super::PinnedTable;
use super::columns::{FileColumns, Layout};
use super::footer::Footer;

/// A condition over a scan's columns.
pub(super) type Condition = Arc<dyn PhysicalExpr>;

/// Where no more than one row in this many passes, holding rows against conditions before they are decoded is worth it.
const FEW: usize = 4;
/// After so many row groups it is tried again.
const AGAIN: usize = 8;

/// What a query asks of rows. Who asks does so again afterwards: rows that do not meet it may come all the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve {
    conditions: Vec<Condition>,
}

impl Sieve {
    /// The same with more conditions, each of them once; `None` where none of them is new.
    pub(super) fn with(&self, more: impl IntoIterator<Item = Condition>) -> Option<Self> {
        let mut conditions = self.conditions.clone();
        for condition in more {
            // to ask twice for a row by chance is to ask for another chance
            if !is_volatile(&condition) && !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        (conditions.len() > self.conditions.len()).then_some(Self { conditions })
    }

    /// Whether nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// What is asked.
    pub(super) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether some of it becomes known only while the query runs, such as the keys of a join's other side.
    pub(super) fn is_growing(&self) -> bool {
        self.conditions.iter().any(|condition| DynamicFilterTracking::classify(condition).contains_dynamic_filter())
    }

    /// What is asked by now, each condition by itself.
    pub(super) fn by_now(&self) -> DataFusionResult<Vec<Condition>> {
        let mut now = Vec::with_capacity(self.conditions.len());
        for condition in &self.conditions {
            let condition = snapshot_physical_expr(Arc::clone(condition))?;
            now.extend(split_conjunction(&condition).into_iter().cloned());
        }
        Ok(now)
    }
}

/// What share of the rows that were held against conditions passed lately.
#[derive(Debug, Default)]
pub(super) struct Passed {
    groups: AtomicUsize,
    held: AtomicUsize,
    through: AtomicUsize,
}

impl Passed {
    /// Whether the next row group's rows are to be held against conditions while they are read.
    pub(super) fn is_worth_it(&self) -> bool {
        if self.groups.fetch_add(1, Ordering::Relaxed).is_multiple_of(AGAIN) {
            self.held.store(0, Ordering::Relaxed);
            self.through.store(0, Ordering::Relaxed);
        }
        self.through.load(Ordering::Relaxed) * FEW <= self.held.load(Ordering::Relaxed)
    }
}

/// One file's rows, and in which form they are held against conditions.
pub(super) struct Held<'a> {
    pub(super) pinned: &'a PinnedTable,
    /// Index of the file.
    pub(super) file: usize,
    pub(super) footer: &'a Footer,
    /// The columns that the conditions are over.
    pub(super) layout: &'a Layout,
}

impl Held<'_> {
    /// What leaves out rows that do not meet `conditions`; `None` where the file has not what they are about. Conditions on
    /// the same columns are looked at together, in the order in which they were asked.
    pub(super) fn filter(
        &self,
        conditions: Vec<Condition>,
        passed: &Arc<Passed>,
    ) -> DataFusionResult<Option<RowFilter>> {
        let mut asked: Vec<(Vec<usize>, Layout, Vec<Condition>)> = Vec::new();
        for condition in conditions {
            let Some(places) = self.places(&condition) else { continue };
            if let Some((.., conditions)) = asked.iter_mut().find(|(known, ..)| *known == places) {
                conditions.push(condition);
            } else {
                let layout = self.layout.only(&places);
                // what is made up for the file is not in the batches that a filter gets
                if layout.is_in(self.footer) {
                    asked.push((places, layout, vec![condition]));
                }
            }
        }
        let count = asked.len();
        let mut filters: Vec<Box<dyn ArrowPredicate>> = Vec::with_capacity(count);
        for (index, (_, layout, conditions)) in asked.into_iter().enumerate() {
            let ends = Ends { is_first: index == 0, is_last: index + 1 == count, passed: Arc::clone(passed) };
            filters.push(self.one(layout, conditions, ends)?);
        }
        Ok((count > 0).then(|| RowFilter::new(filters)))
    }

    /// The places of a condition's columns; `None` where it is about none, or not about those of this scan.
    fn places(&self, condition: &Condition) -> Option<Vec<usize>> {
        let columns = collect_columns(condition);
        let fields = self.layout.schema().fields();
        let is_here = |column: &Column| fields.get(column.index()).is_some_and(|field| field.name() == column.name());
        let mut places: Vec<usize> = columns.iter().map(Column::index).collect();
        places.sort_unstable();
        (!places.is_empty() && columns.iter().all(is_here)).then_some(places)
    }

    fn one(&self, layout: Layout, conditions: Vec<Condition>, ends: Ends) -> DataFusionResult<Box<dyn ArrowPredicate>> {
        let conditions = conditions
            .into_iter()
            .map(|condition| reassign_expr_columns(condition, layout.schema()))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let (pinned, file, footer) = (self.pinned.clone(), self.file, self.footer.clone());
        // no column depends on the place in the file, and rows beyond the pin are left out later
        let (all, limit) = (Some(i64::MIN), i64::MAX);
        let mask = FileColumns::new(&layout, pinned.file(file), &footer, all, limit).mask;
        let keeps = move |batch: RecordBatch| -> Result<BooleanArray, ArrowError> {
            let columns = FileColumns::new(&layout, pinned.file(file), &footer, all, limit);
            let kept = columns.assemble(&batch, 0).ok().and_then(|read| meeting(&conditions, &read.batch).ok());
            // who asks looks at what comes, and says what is wrong with the condition
            let kept = kept.unwrap_or_else(|| BooleanArray::from(vec![true; batch.num_rows()]));
            ends.count(&kept);
            Ok(kept)
        };
        Ok(Box::new(ArrowPredicateFn::new(mask, keeps)))
    }
}

/// Which of the filters of a row group counts what.
struct Ends {
    is_first: bool,
    is_last: bool,
    passed: Arc<Passed>,
}

impl Ends {
    fn count(&self, kept: &BooleanArray) {
        if self.is_first {
            self.passed.held.fetch_add(kept.len(), Ordering::Relaxed);
        }
        if self.is_last {
            self.passed.through.fetch_add(kept.true_count(), Ordering::Relaxed);
        }
    }
}

/// The rows that meet all conditions; null does not.
fn meeting(conditions: &[Condition], rows: &RecordBatch) -> DataFusionResult<BooleanArray> {
    let mut kept: Option<BooleanArray> = None;
    for condition in conditions {
        let meets = condition.evaluate(rows)?.into_array(rows.num_rows())?;
        let meets = as_boolean_array(&meets)?;
        kept = Some(match kept {
            None => meets.clone(),
            Some(kept) => and(&kept, meets)?,
        });
    }
    Ok(kept.unwrap_or_else(|| BooleanArray::from(vec![true; rows.num_rows()])))
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, binary, lit};

    use super::*;

    fn value() -> Condition {
        Arc::new(Column::new("value", 0))
    }

    fn below(bound: i64) -> Condition {
        let schema = Schema::new(vec![Field::new("value", DataType::Int64, true)]);
        binary(value(), Operator::Lt, lit(bound), &schema).expect("a condition")
    }

    #[test]
    fn a_condition_counts_once_and_is_what_it_is_by_now() {
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![value()], lit(true)));
        let sieve = Sieve::default().with([below(9)]).expect("something new");
        assert!(!sieve.is_empty() && !sieve.is_growing());
        assert!(sieve.with([below(9)]).is_none(), "nothing new");
        let sieve = sieve.with([below(9), Arc::clone(&dynamic) as Condition]).expect("something new");
        assert_eq!((sieve.conditions().len(), sieve.is_growing()), (2, true));
        assert_eq!(sieve.by_now().expect("conditions"), [below(9), lit(true)]);
        dynamic.update(below(5)).expect("an update");
        assert_eq!(sieve.by_now().expect("conditions"), [below(9), below(5)]);
    }

    #[test]
    fn what_most_rows_pass_is_left_until_it_is_tried_again() {
        let passed = Arc::new(Passed::default());
        let ends = Ends { is_first: true, is_last: true, passed: Arc::clone(&passed) };
        let kept = |range: RangeInclusive<i32>| (0..8).map(|row| Some(range.contains(&row))).collect::<BooleanArray>();
        assert!(passed.is_worth_it(), "nothing is known");
        ends.count(&kept(0..=1));
        assert!(passed.is_worth_it(), "two of eight passed");
        ends.count(&kept(0..=3));
        assert_eq!((2..AGAIN).filter(|_| passed.is_worth_it()).count(), 0, "six of sixteen passed");
        assert!(passed.is_worth_it(), "it is tried again");
    }

    #[test]
    fn null_meets_nothing() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(7), Some(3)]));
        let rows = RecordBatch::try_from_iter([("value", values)]).expect("rows");
        let kept = meeting(&[below(9), below(5)], &rows).expect("an answer");
        assert_eq!((kept.true_count(), kept.value(0), kept.value(3)), (2, true, true));
    }
}
