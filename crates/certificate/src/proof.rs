//! The second pass: every winner is shown to be the winner, and every cell to be its.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array, make_comparator,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{SortOptions, is_not_null, take};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use hitherto_core::{Outcome, Timestamp};

use crate::causes::Findings;
use crate::history::{Candidate, Rows, visible_since};
use crate::questions::{NO_KEY, as_history_has_it};
use crate::report::ViewReport;
use crate::sample::Sample;
use crate::{Claim, Error, HistoryColumns, Proposal, Questions, Result, micros_down};

/// Wrong cells that are kept to be explained; all are counted.
const WRONG_CELLS_KEPT: usize = 100_000;

/// What is to be shown; shared by the parts of a proof.
#[derive(Debug)]
pub(crate) struct Thesis {
    pub(crate) claim: Claim,
    pub(crate) columns: HistoryColumns,
    pub(crate) questions: Arc<Questions>,
    /// Per slot.
    winners: Vec<Candidate>,
    /// The training set's columns of features, with history's types.
    pub(crate) features: Vec<ArrayRef>,
    pub(crate) names: Vec<String>,
    /// Event times and availabilities as the training set has them, and their columns' names.
    evidence: Option<[(TimestampMicrosecondArray, String); 2]>,
}

/// A proof under way. Clones made before the first rows are parts: each sees other rows, and they are merged in the end.
#[derive(Clone, Debug)]
pub struct Proof {
    thesis: Arc<Thesis>,
    /// Per slot where a winner's reign begins: how often its row was met.
    witnessed: Vec<u8>,
    compared_rows: u64,
    history_rows: u64,
    unproven: u64,
    wrong_cells: u64,
    wrong: Vec<WrongCell>,
    sample: Sample,
}

/// A cell that is not what was known.
#[derive(Clone, Debug)]
pub(crate) struct WrongCell {
    /// Row of the band.
    pub(crate) row: u32,
    /// Index into the claim's features; none for evidence.
    pub(crate) feature: Option<usize>,
    pub(crate) column: String,
    pub(crate) found: Option<String>,
    pub(crate) known: Option<String>,
}

impl Proof {
    /// To show that `band` is what `claim` says, with the winners of `proposal`. `types` are those of history's features, in
    /// the claim's order; `sample` questions are asked again of a store cut off at their time.
    pub fn new(
        proposal: Proposal,
        questions: Arc<Questions>,
        claim: Claim,
        columns: HistoryColumns,
        types: &[DataType],
        band: &RecordBatch,
        sample: usize,
    ) -> Result<Self> {
        let winners = proposal.settle(&questions);
        let schema = band.schema();
        let named = |column: usize| schema.field(column).name().clone();
        let pairs = claim.features.iter().zip(types);
        let features = pairs.map(|(&column, to)| as_history_has_it(band, column, to)).collect::<Result<_>>()?;
        let names = claim.features.iter().map(|&column| named(column)).collect();
        let evidence = match claim.evidence {
            None => None,
            Some(evidence) => Some([evidence_of(band, evidence.event)?, evidence_of(band, evidence.available)?]),
        };
        let (witnessed, sample) = (vec![0; questions.slots()], Sample::of(&questions, sample));
        let thesis = Thesis { claim, columns, questions, winners, features, names, evidence };
        let (compared_rows, history_rows, unproven, wrong_cells) = (0, 0, 0, 0);
        let thesis = Arc::new(thesis);
        Ok(Self { thesis, witnessed, compared_rows, history_rows, unproven, wrong_cells, wrong: Vec::new(), sample })
    }

    /// Holds rows of history against the thesis.
    pub fn add(&mut self, history: &RecordBatch) -> Result<()> {
        let thesis = Arc::clone(&self.thesis);
        let rows = thesis.columns.rows(history)?;
        let (mut ours, mut theirs): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        self.history_rows += history.num_rows() as u64;
        for (index, key) in thesis.questions.keys_of(rows.keys)?.into_iter().enumerate() {
            if key == NO_KEY {
                continue;
            }
            let row = rows.row(index);
            self.sample.add(key, row, &thesis.questions, &thesis.claim);
            let candidate = Candidate::of(&row);
            let since = visible_since(&row, thesis.claim.reading, thesis.claim.mode);
            let mut slots = thesis.questions.slots_since(key, since.0);
            let Some(&winner) = thesis.winners[slots.clone()].first() else { continue };
            if candidate > winner {
                // it is visible there, and supersedes who is said to have won
                self.unproven += 1;
            } else if candidate == winner {
                self.witnessed[slots.start] = self.witnessed[slots.start].saturating_add(1);
                let reign = slots.by_ref().take_while(|&slot| thesis.winners[slot] == winner);
                for slot in reign.filter(|&slot| thesis.has_values(slot)) {
                    theirs.extend(thesis.questions.rows_of(slot));
                    ours.resize(theirs.len(), index as u32);
                }
            }
        }
        self.compare(&rows, UInt32Array::from(ours), UInt32Array::from(theirs))
    }

    /// Compares rows of history with the rows of the band that must have their values.
    fn compare(&mut self, rows: &Rows<'_>, ours: UInt32Array, theirs: UInt32Array) -> Result<()> {
        if ours.is_empty() {
            return Ok(());
        }
        self.compared_rows += ours.len() as u64;
        let thesis = Arc::clone(&self.thesis);
        let paired = Error::arrow("pair rows of history with rows of a training set");
        let pairs = rows.features.iter().zip(&thesis.features).enumerate();
        let taken = pairs
            .map(|(feature, (history, found))| Ok((feature, take(history, &ours, None)?, take(found, &theirs, None)?)));
        let taken: Vec<(usize, ArrayRef, ArrayRef)> = taken.collect::<Result<_, _>>().map_err(paired)?;
        for (feature, known, found) in taken {
            let differs = differing(&known, &found)?;
            self.wrong_cells += differs.count_set_bits() as u64;
            for pair in differs.set_indices() {
                let (known, found) = (text_at(&known, pair)?, text_at(&found, pair)?);
                let column = thesis.names[feature].clone();
                self.keep(WrongCell { row: theirs.value(pair), feature: Some(feature), column, found, known });
            }
        }
        Ok(())
    }

    fn keep(&mut self, cell: WrongCell) {
        if self.wrong.len() < WRONG_CELLS_KEPT {
            self.wrong.push(cell);
        }
    }

    /// Takes over what another part has seen.
    pub fn merge(&mut self, part: Self) {
        for (mine, theirs) in self.witnessed.iter_mut().zip(part.witnessed) {
            *mine = mine.saturating_add(theirs);
        }
        self.compared_rows += part.compared_rows;
        self.history_rows += part.history_rows;
        self.unproven += part.unproven;
        self.wrong_cells += part.wrong_cells;
        self.wrong.extend(part.wrong);
        self.sample.merge(part.sample, &self.thesis.questions, &self.thesis.claim);
    }

    /// Ends the proof, once all of history was added: what is not shown by now is not shown.
    pub fn finish(mut self) -> Result<Findings> {
        let thesis = Arc::clone(&self.thesis);
        self.require_witnesses(&thesis);
        let (sampled, refuted) = self.sample.ask(&thesis.questions, &thesis.claim, |slot| thesis.winner(slot));
        self.unproven += refuted;
        let rows = thesis.questions.band_rows();
        let mut report = ViewReport { view: thesis.claim.view.clone(), rows: rows as u64, sampled, ..<_>::default() };
        let mut known = vec![None; rows];
        let mut asked = 0;
        for slot in 0..thesis.questions.slots() {
            let askers = thesis.questions.rows_of(slot);
            asked += askers.len() as u64;
            *match thesis.outcome(slot) {
                Outcome::NoRow => &mut report.no_row,
                Outcome::Deleted => &mut report.deleted,
                Outcome::Expired => &mut report.expired,
                Outcome::Row(_) => &mut report.present,
            } += askers.len() as u64;
            if thesis.has_values(slot) {
                for &row in askers {
                    known[row as usize] = thesis.winner(slot);
                }
            }
        }
        // a key with a null in it matches nothing
        report.no_row += rows as u64 - asked;
        // values that nobody compared are not proven
        self.unproven += report.present.abs_diff(self.compared_rows);
        self.refuse_values_from_nowhere(&thesis, &known)?;
        self.compare_evidence(&thesis, &known)?;
        let columns = thesis.features.len() + thesis.evidence.as_ref().map_or(0, |evidence| evidence.len());
        report.cells = (rows * columns) as u64;
        report.history_rows = self.history_rows;
        report.unproven = self.unproven;
        report.wrong_cells = self.wrong_cells;
        self.wrong.sort_by_key(|cell| (cell.row, cell.feature.is_none(), cell.feature));
        Ok(Findings { thesis, report, wrong: self.wrong })
    }

    /// Every winner is a row that was met, once, and winners only ever grow.
    fn require_witnesses(&mut self, thesis: &Thesis) {
        for key in 0..thesis.questions.keys() as u32 {
            let mut before = Candidate::NONE;
            for slot in thesis.questions.slots_of(key) {
                let winner = thesis.winners[slot];
                let expected = u8::from(winner != before);
                if winner < before || self.witnessed[slot] != expected {
                    self.unproven += 1;
                }
                before = winner;
            }
        }
    }

    /// Where nothing was known there must be nothing.
    fn refuse_values_from_nowhere(&mut self, thesis: &Thesis, known: &[Option<hitherto_core::Row>]) -> Result<()> {
        let nothing = BooleanBuffer::collect_bool(known.len(), |row| known[row].is_none());
        for (feature, found) in thesis.features.iter().enumerate() {
            let present = is_not_null(found).map_err(Error::arrow("look for nulls"))?;
            let wrong = present.values() & &nothing;
            self.wrong_cells += wrong.count_set_bits() as u64;
            for row in wrong.set_indices() {
                let (column, found) = (thesis.names[feature].clone(), text_at(found, row)?);
                self.keep(WrongCell { row: row as u32, feature: Some(feature), column, found, known: None });
            }
        }
        Ok(())
    }

    fn compare_evidence(&mut self, thesis: &Thesis, known: &[Option<hitherto_core::Row>]) -> Result<()> {
        let Some([event, available]) = &thesis.evidence else { return Ok(()) };
        let events = known.iter().map(|row| row.map(|row| row.event));
        self.compare_times(event, events)?;
        let reading = thesis.claim.reading;
        self.compare_times(available, known.iter().map(|row| row.map(|row| reading.available_at(&row))))
    }

    fn compare_times(
        &mut self,
        (found, column): &(TimestampMicrosecondArray, String),
        known: impl Iterator<Item = Option<Timestamp>>,
    ) -> Result<()> {
        let known: ArrayRef =
            Arc::new(known.map(|time| time.map(|time| time.0)).collect::<TimestampMicrosecondArray>());
        let found: ArrayRef = Arc::new(found.clone());
        let differs = differing(&known, &found)?;
        self.wrong_cells += differs.count_set_bits() as u64;
        for row in differs.set_indices() {
            let (known, found) = (text_at(&known, row)?, text_at(&found, row)?);
            self.keep(WrongCell { row: row as u32, feature: None, column: column.clone(), found, known });
        }
        Ok(())
    }
}

impl Thesis {
    pub(crate) fn winner(&self, slot: usize) -> Option<hitherto_core::Row> {
        self.winners[slot].row(self.columns.created)
    }

    fn outcome(&self, slot: usize) -> Outcome {
        match self.winner(slot) {
            None => Outcome::NoRow,
            Some(row) if row.deleted => Outcome::Deleted,
            Some(row) => {
                let t = Timestamp(self.questions.slot_time(slot));
                if self.claim.reading.is_expired(row.event, t) { Outcome::Expired } else { Outcome::Row(slot) }
            }
        }
    }

    fn has_values(&self, slot: usize) -> bool {
        matches!(self.outcome(slot), Outcome::Row(_))
    }
}

/// Where two columns differ, bit for bit; two nulls do not.
fn differing(a: &ArrayRef, b: &ArrayRef) -> Result<BooleanBuffer> {
    let compared = Error::arrow("compare a training set with history");
    if a.data_type().is_nested() {
        let compare = make_comparator(a, b, SortOptions::default()).map_err(compared)?;
        return Ok(BooleanBuffer::collect_bool(a.len(), |row| compare(row, row).is_ne()));
    }
    let differs: BooleanArray = distinct(a, b).map_err(compared)?;
    Ok(differs.values().clone())
}

fn text_at(array: &ArrayRef, row: usize) -> Result<Option<String>> {
    if array.is_null(row) {
        return Ok(None);
    }
    array_value_to_string(array, row).map(Some).map_err(Error::arrow("say a value"))
}

fn evidence_of(band: &RecordBatch, column: usize) -> Result<(TimestampMicrosecondArray, String)> {
    let name = band.schema().field(column).name().clone();
    let found = band.column(column);
    let nulls: Option<NullBuffer> = found.logical_nulls();
    // a null stands for withheld features; the times around it are read as any
    let filled = match &nulls {
        None => Arc::clone(found),
        Some(_) => arrow::array::make_array(
            found
                .to_data()
                .into_builder()
                .nulls(None)
                .build()
                .map_err(|source| Error::Arrow { what: "read evidence", source })?,
        ),
    };
    let times = micros_down(&name, &filled)?;
    let (_, values, _) = times.into_parts();
    Ok((TimestampMicrosecondArray::new(values, nulls), name))
}
