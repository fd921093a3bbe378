//! What a spine's query saw when it was asked, so that it can be asked again of the same.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Dataset, Name, Timestamp};

use crate::Spine;

/// The moment at which a query was asked, and what there was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Now, to the query.
    pub at: Timestamp,
    /// Of each table that it read, by its id: the last `_sequence`.
    pub tables: BTreeMap<String, i64>,
    /// Of each feature view that it named: the latest version. Of others, and in manifests from before that was noted, the
    /// latest is that of today.
    pub views: BTreeMap<Name, u32>,
}

impl Spine {
    /// The query of a dataset's spine, of what it saw then as far as the manifest says that; else of what there is now.
    pub fn asked_again(dataset: &Dataset) -> Self {
        let (query, build) = (dataset.spine.clone(), &dataset.build);
        if build.spine_asked_at.is_none() && build.spine_tables.is_empty() {
            return Self::Sql(query);
        }
        let asked = Asked {
            at: build.spine_asked_at.unwrap_or(dataset.built_at),
            tables: build.spine_tables.clone(),
            views: build.spine_views.clone(),
        };
        Self::SqlThen { query, asked }
    }
}

impl Asked {
    /// The catalog without versions of views that were not there yet: a view's name means its latest.
    pub(crate) fn cut(&self, catalog: &mut Catalog) {
        for (name, latest) in &self.views {
            if let Some(versions) = catalog.views.get_mut(name) {
                versions.retain(|view| view.version <= *latest);
            }
        }
    }
}
