//! What a run sends.

use std::borrow::Cow;
use std::time::Instant;

/// What a run sends, again and again.
pub trait Work: Send + Sync + 'static {
    /// How many connections there are; request `n` goes over connection `n` modulo that.
    fn connections(&self) -> usize;

    /// Sends request `number`, and waits for all that it wants to see.
    fn send(&self, number: u64) -> impl Future<Output = Result<Taken, Failed>> + Send;
}

/// What an answer held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Values that were there.
    pub present: u64,
    /// Values that were not: null, not found, withheld.
    pub absent: u64,
    /// When a push was acknowledged; it is done only when its row was read.
    pub acknowledged: Option<Instant>,
}

/// Why a request has no answer, in one word: a code of gRPC (`ResourceExhausted`), `TimedOut`, `Lost`, `WrongAnswer`,
/// `NotReadable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(pub Cow<'static, str>);

impl Failed {
    /// An answer that is not the answer to what was asked.
    pub const WRONG_ANSWER: Self = Self(Cow::Borrowed("WrongAnswer"));
    /// A push that was acknowledged and could not be read in time.
    pub const NOT_READABLE: Self = Self(Cow::Borrowed("NotReadable"));
}

impl From<crate::Error> for Failed {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::TimedOut { .. } => Self(Cow::Borrowed("TimedOut")),
            crate::Error::Lost { .. } => Self(Cow::Borrowed("Lost")),
            error => Self(Cow::Owned(format!("{:?}", hitherto_proto::code(error.kind())))),
        }
    }
}
