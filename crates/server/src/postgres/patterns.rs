//! Patterns of times: ours are those of `strftime`, and one of PostgreSQL's would be the answer itself.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::failure::{Stop, Told, state};
use super::words::statements;

/// Refuses a `to_char` whose pattern has no `%`: it would answer the pattern in each row.
pub(super) fn refuse_foreign(text: &str) -> Result<(), Stop> {
    // most queries have none, and are not taken apart for it
    if !text.to_ascii_lowercase().contains("to_char") {
        return Ok(());
    }
    for statement in &statements(text) {
        for place in 0..statement.len() {
            let is_call = statement.has(place, &["to_char"]) && statement.token(place + 1) == Some(&Token::LParen);
            let after = if is_call { statement.after_closing(place + 1) } else { None };
            let last = after.and_then(|after| after.checked_sub(2));
            // a text that is the whole argument
            let last = last.filter(|last| statement.token(last.saturating_sub(1)) == Some(&Token::Comma));
            if let Some(Token::SingleQuotedString(pattern)) = last.and_then(|last| statement.token(last))
                && !pattern.contains('%')
            {
                let message =
                    format!("the pattern '{pattern}' of to_char has no %, so that it would be the answer itself");
                let hint = "patterns are those of strftime: to_char(t, '%Y-%m-%d %H:%M:%S') for 'YYYY-MM-DD HH24:MI:SS'; \
                            date_trunc('month', t) for groups";
                return Err(Stop::Refused(Told::new(state::NOT_SUPPORTED, message).with_hint(hint)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_of_strftime_are_taken() {
        for text in [
            "select to_char(t, 'YYYY-MM') from legs",
            "select 1; select TO_CHAR(date_trunc('day', t), 'Mon')",
            "select to_char(max(t), 'HH24:MI') || '%' from legs",
        ] {
            let refused = refuse_foreign(text).expect_err(text);
            assert!(matches!(refused, Stop::Refused(told) if told.state == "0A000" && told.hint.is_some()), "{text}");
        }
        for text in [
            "select to_char(t, '%Y-%m') from legs",
            "select to_char(t, $1) from legs",
            "select 'to_char(t, ''YYYY'')'",
            "select to_char from legs",
            "select to_char(t, p || 'Y') from legs",
            "select to_char(t, '%Y', ",
        ] {
            assert!(refuse_foreign(text).is_ok(), "{text}");
        }
    }
}
