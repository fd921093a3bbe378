//! Under which keys rows and marks lie in Redis.

use hitherto_core::Name;

use crate::Reading;

/// The keys of a project.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(project: &Name) -> Self {
        Self { prefix: format!("hitherto:{project}:") }
    }

    /// `hitherto:<project>:r:<reading>:<entity key>`; a reading has exactly one `:` in it.
    pub(super) fn row(&self, reading: &Reading, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"r:", reading.as_str().as_bytes(), b":", key].concat()
    }

    /// `hitherto:<project>:m:<reading>`
    pub(super) fn marks(&self, reading: &Reading) -> Vec<u8> {
        [self.prefix.as_bytes(), b"m:", reading.as_str().as_bytes()].concat()
    }
}
