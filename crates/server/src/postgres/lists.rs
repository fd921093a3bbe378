//! Arrays of PostgreSQL, which are lists here: of one dimension.

use pgwire::api::Type;

/// The type of the values of a list; none of what is no list, or one whose values are not taken.
pub(super) fn element(list: &Type) -> Option<Type> {
    Some(match *list {
        Type::BOOL_ARRAY => Type::BOOL,
        Type::INT2_ARRAY => Type::INT2,
        Type::INT4_ARRAY => Type::INT4,
        Type::INT8_ARRAY => Type::INT8,
        Type::FLOAT4_ARRAY => Type::FLOAT4,
        Type::FLOAT8_ARRAY => Type::FLOAT8,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY | Type::NAME_ARRAY => Type::TEXT,
        Type::UUID_ARRAY => Type::UUID,
        Type::DATE_ARRAY => Type::DATE,
        Type::TIMESTAMP_ARRAY => Type::TIMESTAMP,
        Type::TIMESTAMPTZ_ARRAY => Type::TIMESTAMPTZ,
        _ => return None,
    })
}

/// The values of a list in the binary format, as bytes; none if it is no such list.
pub(super) fn of_binary(bytes: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = bytes;
    let dimensions = number(&mut rest)?;
    let (_has_nulls, _type) = (number(&mut rest)?, number(&mut rest)?);
    if dimensions == 0 {
        return rest.is_empty().then(Vec::new);
    }
    if dimensions != 1 {
        return None;
    }
    let (count, _first) = (usize::try_from(number(&mut rest)?).ok()?, number(&mut rest)?);
    let mut values = Vec::new();
    for _ in 0..count {
        let length = number(&mut rest)?;
        if length == -1 {
            values.push(None);
            continue;
        }
        let (value, more) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        values.push(Some(value.to_vec()));
        rest = more;
    }
    rest.is_empty().then_some(values)
}

fn number(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, more) = rest.split_first_chunk::<4>()?;
    *rest = more;
    Some(i32::from_be_bytes(*bytes))
}

/// The values of a list such as `{1,NULL,"a b"}`, as bytes; none if it is no such list.
pub(super) fn of_text(text: &str) -> Option<Vec<Option<Vec<u8>>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut values = Vec::new();
    if inner.trim().is_empty() {
        return Some(values);
    }
    let mut letters = inner.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let mut value = String::new();
        let is_quoted = letters.next_if_eq(&'"').is_some();
        let mut is_closed = !is_quoted;
        let ended = loop {
            match letters.next() {
                None => break true,
                Some(',') if is_closed => break false,
                Some('"') if is_quoted && !is_closed => is_closed = true,
                Some('\\') if !is_quoted || !is_closed => value.push(letters.next()?),
                // outside of quotes these begin something else
                Some('{' | '}' | '"') if is_closed => return None,
                Some(letter) if is_quoted && is_closed => letter.is_whitespace().then_some(())?,
                Some(letter) => value.push(letter),
            }
        };
        if !is_closed || (!is_quoted && value.trim().is_empty()) {
            return None;
        }
        let is_null = !is_quoted && value.trim().eq_ignore_ascii_case("null");
        let value = if is_quoted { value } else { value.trim().to_owned() };
        values.push((!is_null).then(|| value.into_bytes()));
        if ended {
            return Some(values);
        }
    }
}

/// A list as text. Texts and times are in quotes where they must be.
pub(super) fn text(values: impl Iterator<Item = Option<String>>) -> String {
    let values: Vec<String> = values.map(|value| value.map_or_else(|| "NULL".to_owned(), quoted)).collect();
    format!("{{{}}}", values.join(","))
}

fn quoted(value: String) -> String {
    let is_odd = |letter: char| letter.is_whitespace() || matches!(letter, '{' | '}' | ',' | '"' | '\\');
    if !value.is_empty() && !value.eq_ignore_ascii_case("null") && !value.contains(is_odd) {
        return value;
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_is_known() {
        for text in ["", "1", "{1", "{1,}", "{,}", "{{1}}", "{\"a}", "{\"a\"b}", "{a\"b}"] {
            assert_eq!(of_text(text), None, "{text}");
        }
        assert_eq!(of_text(" { } "), Some(Vec::new()));
        assert_eq!(of_text("{ a b , null,\"null\"}"), Some(vec![Some(b"a b".to_vec()), None, Some(b"null".to_vec())]));
        let all = ["", "NULL", "a b", "2013-01-01 00:00:00+00", "1.5"].map(|value| Some(value.to_owned()));
        assert_eq!(text(all.into_iter().chain([None])), "{\"\",\"NULL\",\"a b\",\"2013-01-01 00:00:00+00\",1.5,NULL}");
    }

    #[test]
    fn a_list_that_is_written_is_read_again() {
        let odd = ["", "null", "a", " a ", "{}", "a,b", "\"", "\\", "\\\"\\", "ä\n", "\u{2003}"];
        for one in odd {
            for other in odd {
                let values = [Some(one.to_owned()), None, Some(other.to_owned())];
                let bytes: Vec<_> = values.clone().into_iter().map(|value| value.map(String::into_bytes)).collect();
                let text = text(values.into_iter());
                assert_eq!(of_text(&text), Some(bytes), "{text}");
            }
        }
    }
}
