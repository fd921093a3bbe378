//! The run of a materialization: a table's history in, a reading of the online store out.

use super::Run;
use super::event::{EventDataset, RunEvent, Told, namespace};
use super::failure::message;
use super::place::Place;
use crate::readings::ServedReading;
use crate::{Engine, Materialized, Result};

impl Engine {
    /// The events of a run for one reading that has ended.
    pub(crate) fn events_of_materialize(
        &self,
        run: &Run,
        reading: &ServedReading,
        done: &Result<Materialized>,
    ) -> Vec<RunEvent> {
        let last = done.as_ref().ok().map(|done| done.marks.sequence);
        let mut told = Told {
            job: format!("materialize.{}", reading.view),
            failure: done.as_ref().err().map(message),
            inputs: vec![self.event_table(&reading.table, last)],
            ..Told::default()
        };
        if let (Ok(done), Ok(online)) = (done, self.online()) {
            let place = Place {
                namespace: format!("{}.online", namespace(self.project())),
                name: reading.id.as_str().to_owned(),
                uri: format!("urn:hitherto:online:{}:{}", self.project(), reading.id.as_str()),
            };
            let version = format!("{} {}", done.marks.sequence, done.marks.clock);
            let online = EventDataset::at(place).with_source(&online.describe());
            told.outputs.push(online.with_version(&version).with_output(done.written, None));
        }
        self.ended(run, told)
    }
}
