//! What a query wants of one table, as far as it saves reading.

use std::collections::HashMap;

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// What an edge that a log tells is made of; all others are the registry's.
const FROM_KINDS: [&str; 2] = ["batch", "data_file"];
const TO_KINDS: [&str; 3] = ["table", "data_file", "dataset"];
const RELATIONS: [&str; 5] = ["appended_to", "written_as", "rewritten_as", "part_of", "read_for"];

/// Texts that columns have to be equal to. Rows where they are not may come all the same: the query leaves them out.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(HashMap<String, String>);

impl Wanted {
    /// What these say, all of which hold.
    pub(super) fn of(filters: &[Expr]) -> Self {
        let equal = filters.iter().filter_map(equality);
        Self(equal.map(|(column, text)| (column.to_owned(), text.to_owned())).collect())
    }

    /// Whether rows with this text in a column may be wanted.
    pub(super) fn may_be(&self, column: &str, text: &str) -> bool {
        self.0.get(column).is_none_or(|wanted| wanted == text)
    }

    /// Whether edges of lineage that only logs tell may be wanted.
    pub(super) fn may_be_edge_of_log(&self) -> bool {
        let any = |column: &str, texts: &[&str]| texts.iter().any(|text| self.may_be(column, text));
        any("from_kind", &FROM_KINDS) && any("to_kind", &TO_KINDS) && any("relation", &RELATIONS)
    }
}

/// The column and the text, where a filter says that they are equal.
pub(super) fn equality(filter: &Expr) -> Option<(&str, &str)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
            Some((column.name.as_str(), value.try_as_str().flatten()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn only_equality_with_a_text_says_what_is_wanted() {
        let of = |filter: Expr| Wanted::of(&[filter]);
        assert!(of(col("relation").eq(lit("trained"))).may_be("relation", "trained"));
        assert!(!of(col("relation").eq(lit("trained"))).may_be("relation", "read_for"));
        assert!(!of(lit("trained").eq(col("relation"))).may_be("relation", "read_for"));
        assert!(of(col("relation").eq(lit("trained"))).may_be("to_kind", "model"));
        assert!(of(col("relation").not_eq(lit("read_for"))).may_be("relation", "read_for"));
        assert!(of(col("last_sequence").eq(lit(7))).may_be("last_sequence", "8"));
    }

    #[test]
    fn logs_are_left_alone_where_no_edge_of_theirs_is_wanted() {
        let of = |column: &str, text: &str| Wanted::of(&[col(column).eq(lit(text))]).may_be_edge_of_log();
        assert!(Wanted::default().may_be_edge_of_log());
        assert!(of("relation", "read_for") && of("from_kind", "batch") && of("to_kind", "dataset"));
        assert!(!of("relation", "trained") && !of("from_kind", "feature") && !of("to_kind", "model"));
        assert!(of("to_name", "m@1"));
    }
}
