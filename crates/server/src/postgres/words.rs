//! A text of SQL as words, each with its place, and as the statements that it consists of.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// A statement: its text, and its words without blanks and comments.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    words: Vec<Word>,
}

#[derive(Clone, Debug)]
struct Word {
    token: Token,
    /// Its first byte in the statement's text, and the first after it.
    begin: usize,
    end: usize,
}

/// The statements of `text` that are not empty. One that cannot be taken apart is one statement: whoever reads it says why.
pub(super) fn statements(text: &str) -> Vec<Statement<'_>> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location() else {
        return vec![Statement { text: text.trim(), words: Vec::new() }];
    };
    let starts = tokens.iter().map(|token| (token.span.start.line, token.span.start.column));
    let begins = places(text, starts);
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let words = tokens.into_iter().zip(begins.iter().copied()).zip(ends);
    let (mut all, mut words_of_one) = (Vec::new(), Vec::new());
    for ((token, begin), end) in words {
        match token.token {
            Token::SemiColon => all.push(std::mem::take(&mut words_of_one)),
            Token::Whitespace(_) | Token::EOF => {}
            token => words_of_one.push(Word { token, begin, end }),
        }
    }
    all.push(words_of_one);
    all.into_iter().filter_map(|words| Statement::of(text, words)).collect()
}

/// The bytes at which these lines and columns are, in order; both are counted from 1, columns in letters.
fn places(text: &str, starts: impl Iterator<Item = (u64, u64)>) -> Vec<usize> {
    let mut letters = text.char_indices();
    let (mut line, mut column, mut at) = (1, 1, letters.next());
    let place = |(wanted_line, wanted_column): (u64, u64)| {
        while let Some((_, letter)) = at
            && (line, column) < (wanted_line, wanted_column)
        {
            (line, column) = if letter == '\n' { (line + 1, 1) } else { (line, column + 1) };
            at = letters.next();
        }
        at.map_or(text.len(), |(byte, _)| byte)
    };
    starts.map(place).collect()
}

impl<'a> Statement<'a> {
    fn of(text: &'a str, mut words: Vec<Word>) -> Option<Self> {
        let (begin, end) = (words.first()?.begin, words.last()?.end);
        for word in &mut words {
            word.begin -= begin;
            word.end -= begin;
        }
        Some(Self { text: &text[begin..end], words })
    }

    /// The word at `place`, in small letters; none of what stands in quotes or is no word.
    pub(super) fn word(&self, place: usize) -> Option<String> {
        match &self.words.get(place)?.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// Whether these words stand at `place`.
    pub(super) fn has(&self, place: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(next, word)| self.word(place + next).as_deref() == Some(word))
    }

    /// The sign or quoted text at `place`.
    pub(super) fn token(&self, place: usize) -> Option<&Token> {
        self.words.get(place).map(|word| &word.token)
    }

    /// What stands at `place` as a name: a word, in small letters unless it is in quotes.
    pub(super) fn name(&self, place: usize) -> Option<String> {
        match &self.words.get(place)?.token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
            Token::Word(word) => Some(word.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// What stands at `place` as a value: a text, a number or a word.
    pub(super) fn value(&self, place: usize) -> Option<String> {
        match &self.words.get(place)?.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text.clone()),
            Token::Number(number, _) => Some(number.clone()),
            Token::Word(word) => Some(word.value.clone()),
            _ => None,
        }
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The text from the word at `from` to the one before `to`.
    pub(super) fn between(&self, from: usize, to: usize) -> &'a str {
        match (self.words.get(from), to.checked_sub(1).and_then(|last| self.words.get(last))) {
            (Some(first), Some(last)) if first.begin < last.end => &self.text[first.begin..last.end],
            _ => "",
        }
    }

    /// The text with other words at some places; none if all stay.
    pub(super) fn with(&self, other: impl Fn(usize) -> Option<String>) -> Option<String> {
        let (mut text, mut end) = (String::new(), 0);
        for (place, word) in self.words.iter().enumerate() {
            if let Some(other) = other(place) {
                text.push_str(&self.text[end..word.begin]);
                text.push_str(&other);
                end = word.end;
            }
        }
        (end > 0).then(|| text + &self.text[end..])
    }

    /// The place after the parenthesis that closes the one at `open`.
    pub(super) fn after_closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (place, word) in self.words.iter().enumerate().skip(open) {
            match word.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(place + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        statements(text).iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_text_is_taken_apart_where_a_statement_ends() {
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts(" ; ;-- nothing\n"), [""; 0]);
        assert_eq!(
            texts("begin; select ';' as \"a;b\" /* ; */;\n commit"),
            ["begin", "select ';' as \"a;b\"", "commit"]
        );
        assert_eq!(texts("select 'ä;',\n  'ö' -- ü;\n; select 2"), ["select 'ä;',\n  'ö'", "select 2"]);
        assert_eq!(texts("select 'open; select 2"), ["select 'open; select 2"]);
    }

    #[test]
    fn words_have_places() {
        let all = statements("COPY (select \"A\" from (values (1)) t) TO stdout");
        let copy = &all[0];
        assert!(copy.has(0, &["copy"]) && copy.name(3).as_deref() == Some("A") && copy.word(3).is_none());
        let after = copy.after_closing(1).expect("it is closed");
        assert!(copy.has(after, &["to", "stdout"]));
        assert_eq!(copy.between(2, after - 1), "select \"A\" from (values (1)) t");
        let other = copy.with(|place| copy.has(place, &["a"]).then(|| "b".to_owned()));
        assert_eq!(other, None, "what is in quotes is no word");
        let other = copy.with(|place| copy.has(place, &["values"]).then(|| "rows".to_owned()));
        assert_eq!(other.as_deref(), Some("COPY (select \"A\" from (rows (1)) t) TO stdout"));
        assert_eq!((copy.between(after, after), copy.after_closing(0)), ("", Some(1)));
        let all = statements("set x = 'Ä', 2");
        let values: Vec<_> = (0..all[0].len()).map(|place| all[0].value(place)).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(values, [text("set"), text("x"), None, text("Ä"), None, text("2")]);
    }
}
