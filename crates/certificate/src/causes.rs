//! The third pass, where cells are wrong: since when their values could have been known.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use hitherto_core::{Mode, Timestamp};

use crate::history::visible_since;
use crate::proof::{Thesis, WrongCell};
use crate::questions::NO_KEY;
use crate::report::{Cause, FAULTS_TOLD, Fault, ViewReport};
use crate::{Error, Result};

/// What a proof found.
#[derive(Debug)]
pub struct Findings {
    pub(crate) thesis: Arc<Thesis>,
    pub(crate) report: ViewReport,
    pub(crate) wrong: Vec<WrongCell>,
}

/// Of one feature, by key and encoded value.
type KnownSince = HashMap<(u32, Box<[u8]>), Option<Timestamp>>;

/// Since when the values of wrong cells could have been known. Clones made before the first rows are parts.
#[derive(Clone, Debug)]
pub struct Causes {
    thesis: Arc<Thesis>,
    /// Per feature, where one of its cells is wrong: since when a row had that value.
    known: Vec<KnownSince>,
}

impl Findings {
    /// What was found so far; wrong cells have no causes yet.
    pub fn report(&self) -> &ViewReport {
        &self.report
    }

    /// The causes to be looked for in history; `None` where there is nothing to explain.
    pub fn causes(&self) -> Result<Option<Causes>> {
        let mut causes =
            Causes { thesis: Arc::clone(&self.thesis), known: vec![HashMap::new(); self.thesis.features.len()] };
        let mut any = false;
        for (feature, rows) in self.wrong_rows().into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let encoded = encoded(&self.thesis, feature, &self.thesis.features[feature])?;
            for row in rows {
                let (key, _) = self.thesis.questions.asked_by(row);
                causes.known[feature].insert((key, encoded.row(row as usize).as_ref().into()), None);
                any = true;
            }
        }
        Ok(any.then_some(causes))
    }

    /// The report, with causes; `first_row` is the band's first row in the training set, from 0.
    pub fn conclude(mut self, causes: Option<&Causes>, first_row: u64) -> Result<ViewReport> {
        let mut encodings = Vec::with_capacity(self.thesis.features.len());
        for (feature, rows) in self.wrong_rows().into_iter().enumerate() {
            encodings.push(if rows.is_empty() {
                None
            } else {
                Some(encoded(&self.thesis, feature, &self.thesis.features[feature])?)
            });
        }
        for cell in std::mem::take(&mut self.wrong) {
            let (key, time) = self.thesis.questions.asked_by(cell.row);
            let time = Timestamp(time);
            let since = || {
                let feature = cell.feature?;
                let value = encodings[feature].as_ref()?.row(cell.row as usize).as_ref().into();
                causes?.known[feature].get(&(key, value)).copied().flatten()
            };
            let cause = match &cell.found {
                None => Cause::Missing,
                Some(_) => match since() {
                    None => Cause::Unknown,
                    Some(since) if since > time => Cause::Leaked(since),
                    Some(_) => Cause::Superseded,
                },
            };
            *match cause {
                Cause::Unknown => &mut self.report.unknown,
                Cause::Leaked(_) => &mut self.report.leaked,
                Cause::Superseded => &mut self.report.superseded,
                Cause::Missing => &mut self.report.missing,
            } += 1;
            if self.report.faults.len() < FAULTS_TOLD {
                let WrongCell { row, column, found, known, .. } = cell;
                let row = first_row + u64::from(row) + 1;
                self.report.faults.push(Fault { row, time, column, found, known, cause });
            }
        }
        Ok(self.report)
    }

    /// Per feature, the rows of the band where it is wrong and not null.
    fn wrong_rows(&self) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); self.thesis.features.len()];
        for cell in self.wrong.iter().filter(|cell| cell.found.is_some()) {
            if let Some(feature) = cell.feature {
                rows[feature].push(cell.row);
            }
        }
        rows
    }
}

impl Causes {
    /// Looks for the values in rows of history.
    pub fn add(&mut self, history: &RecordBatch) -> Result<()> {
        let thesis = Arc::clone(&self.thesis);
        let rows = thesis.columns.rows(history)?;
        let keys = thesis.questions.keys_of(rows.keys)?;
        let asked: BooleanArray = keys.iter().map(|&key| Some(key != NO_KEY)).collect();
        let asked_rows: Vec<usize> = asked.values().set_indices().collect();
        if asked_rows.is_empty() {
            return Ok(());
        }
        for (feature, known) in self.known.iter_mut().enumerate().filter(|(_, known)| !known.is_empty()) {
            let values = filter(&rows.features[feature], &asked).map_err(Error::arrow("find values in history"))?;
            let encoded = encoded(&thesis, feature, &values)?;
            for (place, &index) in asked_rows.iter().enumerate().filter(|(place, _)| values.is_valid(*place)) {
                let row = rows.row(index);
                if row.deleted {
                    continue;
                }
                if let Some(since) = known.get_mut(&(keys[index], encoded.row(place).as_ref().into())) {
                    // whatever the training set's mode: a value is known when it is available
                    let then = visible_since(&row, thesis.claim.reading, Mode::Knowledge);
                    *since = Some(since.map_or(then, |first| first.min(then)));
                }
            }
        }
        Ok(())
    }

    /// Takes over what another part has seen.
    pub fn merge(&mut self, part: Self) {
        for (mine, theirs) in self.known.iter_mut().zip(part.known) {
            for (value, since) in theirs {
                let entry = mine.entry(value).or_default();
                *entry = match (*entry, since) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
    }
}

fn encoded(thesis: &Thesis, feature: usize, values: &arrow::array::ArrayRef) -> Result<arrow::row::Rows> {
    let data_type = thesis.features[feature].data_type().clone();
    let converter = RowConverter::new(vec![SortField::new(data_type)]).map_err(Error::arrow("encode values"))?;
    converter.convert_columns(&[Arc::clone(values)]).map_err(Error::arrow("encode values"))
}
