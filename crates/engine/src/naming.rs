//! What datasets are called, and where their entries say that they lie: not for everybody to change.

use hitherto_core::Dataset;

use crate::dataset::short;
use crate::{Engine, Error, Existing, Result, TrainingSetRequest};

/// A name of hexadecimal digits alone that is so long could be meant for the beginning of an id.
const LIKE_AN_ID: usize = 8;

/// Refuses a name that could be meant for an id.
pub(crate) fn check_name(wanted: &TrainingSetRequest) -> Result<()> {
    match wanted.name.as_ref().map(hitherto_core::Name::as_str) {
        Some(name) if name.len() >= LIKE_AN_ID && name.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err(Error::Invalid(format!("the name '{name}' could be meant for a dataset's id: add a word to it")))
        }
        _ => Ok(()),
    }
}

impl Engine {
    /// Refuses, where entries are kept, a name that means another dataset, and another name for this one.
    pub(crate) async fn check_naming(&self, wanted: &TrainingSetRequest, id: &str) -> Result<()> {
        let (true, Some(name)) = (self.keeps_entries, &wanted.name) else { return Ok(()) };
        for dataset in self.registry().datasets().await? {
            let fact = match &dataset.name {
                Some(taken) if taken == name && dataset.id != id => {
                    format!("the name '{name}' means dataset {}", short(&dataset.id))
                }
                Some(other) if other != name && dataset.id == id => {
                    format!("dataset {} has the name '{other}'", short(id))
                }
                _ => continue,
            };
            return Err(Error::Invalid(format!(
                "{fact} already, and who changes that needs the role writer: leave the name out, or ask with another token"
            )));
        }
        Ok(())
    }

    /// The entry of a dataset that was built, as it is to be recorded: where entries are kept, a file that somebody has put
    /// elsewhere moves none.
    pub(crate) async fn entry(&self, wanted: &TrainingSetRequest, built: &Dataset) -> Result<Dataset> {
        let mut entry = built.clone();
        if self.keeps_entries && matches!(wanted.existing, Existing::Keep) {
            let known = self.registry().datasets().await?;
            if let Some(first) = known.into_iter().find(|known| known.id == built.id) {
                entry.location = first.location;
            }
        }
        Ok(entry)
    }
}
