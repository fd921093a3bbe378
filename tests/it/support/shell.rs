//! A command line taken apart as a shell would, as far as tests need it.

/// The words of `line`; `'…'` and `"…"` hold blanks together, and nothing is expanded.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert!(quote.is_none(), "a quote is left open in: {line}");
    words.extend(word);
    words
}

#[test]
fn quotes_hold_blanks_together() {
    assert_eq!(words(r#"sql "select 'a b'"  '' x"#), ["sql", "select 'a b'", "", "x"]);
}
