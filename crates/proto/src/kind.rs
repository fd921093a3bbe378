//! The one table between kinds of errors and gRPC's codes.

use hitherto_core::Kind;
use tonic::Code;

const TABLE: [(Kind, Code); 8] = [
    (Kind::NotFound, Code::NotFound),
    (Kind::AlreadyExists, Code::AlreadyExists),
    (Kind::InvalidArgument, Code::InvalidArgument),
    (Kind::Conflict, Code::Aborted),
    (Kind::Unavailable, Code::Unavailable),
    (Kind::Exhausted, Code::ResourceExhausted),
    (Kind::Unsupported, Code::Unimplemented),
    (Kind::Internal, Code::Internal),
];

/// The code that says `kind` on the wire; internal for a kind that this table does not know.
pub fn code(kind: Kind) -> Code {
    row(kind).map_or(Code::Internal, |(_, code)| *code)
}

/// The word that says `kind` in `google.rpc.ErrorInfo`, as its `reason`.
pub fn reason(kind: Kind) -> &'static str {
    kind.name()
}

/// The kind that `code` says. Codes that only others send (a proxy, the transport) get the kind that calls for the
/// same answer.
pub fn kind(code: Code) -> Kind {
    if let Some((kind, _)) = TABLE.iter().find(|(_, ours)| *ours == code) {
        return *kind;
    }
    match code {
        Code::Cancelled | Code::DeadlineExceeded => Kind::Unavailable,
        Code::OutOfRange | Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated => {
            Kind::InvalidArgument
        }
        _ => Kind::Internal,
    }
}

fn row(kind: Kind) -> Option<&'static (Kind, Code)> {
    TABLE.iter().find(|(ours, _)| *ours == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_total_and_reads_back() {
        let all = [
            Kind::NotFound,
            Kind::AlreadyExists,
            Kind::InvalidArgument,
            Kind::Conflict,
            Kind::Unavailable,
            Kind::Exhausted,
            Kind::Unsupported,
            Kind::Internal,
        ];
        for one in all {
            assert!(row(one).is_some(), "{one:?} has no row");
            assert_eq!(kind(code(one)), one, "{one:?} must read back");
        }
        assert_eq!(code(Kind::Conflict), Code::Aborted);
        assert_eq!(code(Kind::Exhausted), Code::ResourceExhausted);
        assert_eq!(code(Kind::Unsupported), Code::Unimplemented);
        assert_eq!(reason(Kind::Conflict), "CONFLICT");
    }

    #[test]
    fn codes_of_others_have_a_kind() {
        assert_eq!(kind(Code::DeadlineExceeded), Kind::Unavailable);
        assert_eq!(kind(Code::Unauthenticated), Kind::InvalidArgument);
        assert_eq!(kind(Code::DataLoss), Kind::Internal);
    }
}
