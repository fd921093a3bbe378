//! Who asks, in a query of feature views: the planner knows no users.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::words::statements;

/// Words that stand for whoever is connected. They are names of nothing else in PostgreSQL.
const WORDS: [&str; 3] = ["current_role", "current_user", "session_user"];

/// The query with the user's name where it asks for it; none if it does not.
pub(super) fn named(text: &str, user: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if !WORDS.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let statements = statements(text);
    let [statement] = &statements[..] else { return None };
    let literal = format!("'{}'", user.replace('\'', "''"));
    statement.with(|place| {
        let is_asked = WORDS.iter().any(|word| statement.has(place, &[word]));
        let before = place.checked_sub(1).and_then(|before| statement.token(before));
        let is_name = matches!(before, Some(Token::Period)) || place > 0 && statement.has(place - 1, &["as"]);
        let is_more = matches!(statement.token(place + 1), Some(Token::Period | Token::LParen));
        (is_asked && !is_name && !is_more).then(|| literal.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_named_where_it_is_asked_for() {
        assert_eq!(
            named("select CURRENT_USER, crew from legs -- current_user", "o'neil").as_deref(),
            Some("select 'o''neil', crew from legs")
        );
        for text in ["select crew from legs", "select 'current_user'", "select l.current_user as session_user from l"] {
            assert_eq!(named(text, "ada"), None, "{text}");
        }
    }
}
