//! What kind of failure an error is: one table maps it to a gRPC status and an exit code.

/// The kind of a failure, the same in every room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The thing named does not exist.
    NotFound,
    /// The thing named exists already, and differs.
    AlreadyExists,
    /// The request is wrong, whatever the state of the system.
    InvalidArgument,
    /// Somebody else changed the state first; read it again and retry.
    Conflict,
    /// A store or server cannot be reached now; retry later.
    Unavailable,
    /// A limit is reached: disk, memory, concurrency.
    Exhausted,
    /// A thing that this version cannot do.
    Unsupported,
    /// A fault of ours, or data that contradicts itself.
    Internal,
}

impl Kind {
    /// As programs read it: `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Conflict => "CONFLICT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Exhausted => "EXHAUSTED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Internal => "INTERNAL",
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable | Self::Exhausted)
    }
}
