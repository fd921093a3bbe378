//! Applied entities, and notes.

use hitherto_core::{Entity, EntityVersion, Notes};

use crate::{Error, field, v1};

impl From<EntityVersion> for v1::Entity {
    fn from(entity: EntityVersion) -> Self {
        Self {
            name: entity.definition.name.into(),
            version: entity.version,
            join_keys: field::print_map(entity.definition.join_keys),
            notes: send_notes(entity.definition.notes),
        }
    }
}

impl TryFrom<v1::Entity> for EntityVersion {
    type Error = Error;

    fn try_from(sent: v1::Entity) -> Result<Self, Error> {
        Ok(Self {
            version: field::version("version", sent.version)?,
            definition: Entity {
                name: field::parse("name", &sent.name)?,
                join_keys: field::parse_map("join_keys", sent.join_keys)?,
                notes: receive_notes(sent.notes),
            },
        })
    }
}

/// Notes as they travel: absent where there are none.
pub(crate) fn send_notes(notes: Notes) -> Option<v1::Notes> {
    (notes != Notes::default())
        .then(|| v1::Notes { description: notes.description, tags: notes.tags.into_iter().collect() })
}

/// Notes as they came.
pub(crate) fn receive_notes(sent: Option<v1::Notes>) -> Notes {
    sent.map_or_else(Notes::default, |sent| Notes {
        description: sent.description,
        tags: sent.tags.into_iter().collect(),
    })
}
