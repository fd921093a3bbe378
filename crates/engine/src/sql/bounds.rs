//! How much SQL a text may be: a parsed text is a tree that is walked, copied and dropped by recursion, and a stack that ends
//! takes the process along. So the tree's height is known before there is one.

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// A query has no more bytes than this.
pub(crate) const QUERY_BYTES_MAX: usize = 64 << 10;
/// A transform has no more bytes than this.
pub(crate) const TRANSFORM_BYTES_MAX: usize = 16 << 10;
/// So many operators may stand one upon the other: `a + b + c` is two.
const HEIGHT_MAX: usize = 300;
/// So many selects, joins and windows may be in one query: each is a node of its plan, often upon the one before.
pub(super) const PARTS_MAX: usize = 300;
/// Of a path such as `a.b.c`, so many points are a column's name; more look into a value, one upon the other.
const POINTS_OF_A_NAME: usize = 3;

/// Refuses a text that is larger than `bytes_max`, or whose parts are nested too deep.
pub(crate) fn refuse_too_large(text: &str, bytes_max: usize) -> DataFusionResult<()> {
    if text.len() > bytes_max {
        let (bytes, kib) = (text.len(), bytes_max >> 10);
        let reason =
            format!("it has {bytes} bytes, and at most {kib} KiB are read: put long lists into a table or a file");
        return Err(DataFusionError::Plan(reason));
    }
    refuse_too_deep(text)
}

/// Refuses a text whose parts are nested too deep.
pub(super) fn refuse_too_deep(text: &str) -> DataFusionResult<()> {
    // what is no sequence of tokens is refused by the parser, which says where
    let Ok(tokens) = Tokenizer::new(&GenericDialect, text).tokenize() else { return Ok(()) };
    let (height, parts) = measured(&tokens);
    if height > HEIGHT_MAX {
        let reason = format!(
            "{height} operators stand one upon the other, and at most {HEIGHT_MAX} may: write x IN (…) for x = 1 OR x = 2 …, \
             or compute a part in a subquery or another feature"
        );
        return Err(DataFusionError::Plan(reason));
    }
    if parts > PARTS_MAX {
        let reason = format!("it has {parts} selects, joins and windows, and at most {PARTS_MAX} may be in one query");
        return Err(DataFusionError::Plan(reason));
    }
    Ok(())
}

/// What is between two commas of one pair of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Operators so far.
    own: usize,
    /// The highest of what is in parentheses so far: it stands below all of the operators, at worst.
    inner: usize,
    /// The highest of what is before the last comma.
    before: usize,
}

impl Level {
    fn height(self) -> usize {
        self.before.max(self.own + self.inner)
    }
}

/// How high the tree of these tokens can be, and how many nodes its plan has that may stand one upon the other.
fn measured(tokens: &[Token]) -> (usize, usize) {
    let (mut outer, mut level) = (Vec::new(), Level::default());
    let (mut parts, mut points) = (0, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // a subscript is an operator too
                level.own += usize::from(matches!(token, Token::LBracket));
                outer.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                let inner = level.height() + 1;
                level = outer.pop().unwrap_or_default();
                level.inner = level.inner.max(inner);
            }
            Token::Comma => level = Level { before: level.height(), ..Level::default() },
            Token::Word(word) => {
                level.own += usize::from(is_operator(word.keyword));
                parts += usize::from(is_part(word.keyword));
            }
            Token::Period => {
                points += 1;
                level.own += usize::from(points > POINTS_OF_A_NAME);
                continue;
            }
            other => level.own += usize::from(!is_plain(other)),
        }
        if !matches!(token, Token::Word(_)) {
            points = 0;
        }
    }
    // what is not closed is refused by the parser, but not before it has gone down there
    let open = outer.into_iter().fold(0, |sum, level: Level| sum + level.height() + 1);
    (open + level.height(), parts)
}

/// Whether a token is a value, or stands between things without taking them together.
fn is_plain(token: &Token) -> bool {
    matches!(
        token,
        Token::EOF
            | Token::Whitespace(_)
            | Token::SemiColon
            | Token::Number(..)
            | Token::Placeholder(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}

fn is_operator(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::NOTNULL
            | Keyword::IN
            | Keyword::BETWEEN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::DIV
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::OPERATOR
            | Keyword::OVERLAPS
            | Keyword::MEMBER
            | Keyword::CASE
            | Keyword::INTERVAL
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::MINUS
            | Keyword::JOIN
            | Keyword::APPLY
            | Keyword::PIVOT
            | Keyword::UNPIVOT
            | Keyword::MATCH_RECOGNIZE
            | Keyword::EXPLAIN
            | Keyword::DESCRIBE
            | Keyword::DESC
            | Keyword::PREPARE
    )
}

fn is_part(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::SELECT | Keyword::TABLE | Keyword::VALUES | Keyword::JOIN | Keyword::OVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn height(text: &str) -> usize {
        measured(&Tokenizer::new(&GenericDialect, text).tokenize().expect(text)).0
    }

    #[test]
    fn height_is_what_stands_one_upon_the_other() {
        for (text, expected) in [
            ("a", 0),
            ("a + b - 1", 2),
            ("a + b, c + d, e", 1),
            ("f(a + b + c, d) + 1", 4),
            ("l.k = r.k and l.a = r.a", 3),
            ("a.b.c.d", 0),
            ("a.b.c.d.e.f", 2),
            ("a::int::text", 2),
            ("a[1][2]", 3),
            ("x in (1, 2, 3, 4, 5)", 2),
            ("a is null is null", 2),
            ("((((a", 4),
            ("'a + b + c' || \"d + e\"", 1),
        ] {
            assert_eq!(height(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_larger_or_deeper_than_a_stack_bears_is_refused() {
        let refused =
            |text: &str, bytes_max| refuse_too_large(text, bytes_max).expect_err("too much").strip_backtrace();
        let terms = format!("1{}", "+1".repeat(5_000));
        assert!(refused(&terms, TRANSFORM_BYTES_MAX).contains("5000 operators stand one upon the other"));
        for chain in [" union select 1", "::int", "[1]", " join t on true", " is null", " at time zone 'UTC'", " - -1"]
        {
            let text = format!("select 1{}", chain.repeat(600));
            assert!(refused(&text, QUERY_BYTES_MAX).contains("at most 300"), "{chain}");
        }
        let windows = format!("select 1{} from t", ", row_number() over (order by a)".repeat(600));
        assert!(refused(&windows, QUERY_BYTES_MAX).contains("601 selects, joins and windows"));
        assert!(refused(&" ".repeat(QUERY_BYTES_MAX + 1), QUERY_BYTES_MAX).contains("at most 64 KiB are read"));
        refuse_too_large(&format!("select 1 in (1{})", ", 2".repeat(5_000)), QUERY_BYTES_MAX)
            .expect("a long list is flat");
        refuse_too_large(&format!("1{}", "+1".repeat(300)), TRANSFORM_BYTES_MAX).expect("as high as can be");
    }
}
