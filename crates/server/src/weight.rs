//! What a pushed message takes of memory once it is read: a number of one byte on the wire takes eight.

use hitherto_proto::v1::values::Kind;
use hitherto_proto::v1::{PushRequest, Values};

/// Of the message and, beside it, of the rows that are made of it.
pub(crate) fn weight(push: &PushRequest) -> usize {
    let columns = push
        .columns
        .iter()
        .map(|column| column.name.len() + column.validity.len() + column.values.as_ref().map_or(0, of_values));
    columns.fold(0, usize::saturating_add).saturating_mul(2)
}

fn of_values(values: &Values) -> usize {
    match &values.kind {
        Some(Kind::Bools(bools)) => bools.values.len(),
        Some(Kind::Int32s(numbers) | Kind::Dates(numbers)) => size_of_val(numbers.values.as_slice()),
        Some(Kind::Int64s(numbers) | Kind::TimestampsUs(numbers)) => size_of_val(numbers.values.as_slice()),
        Some(Kind::Float32s(numbers)) => size_of_val(numbers.values.as_slice()),
        Some(Kind::Float64s(numbers)) => size_of_val(numbers.values.as_slice()),
        Some(Kind::Strings(texts)) => {
            size_of_val(texts.values.as_slice()) + texts.values.iter().map(String::len).sum::<usize>()
        }
        Some(Kind::ByteStrings(strings)) => {
            size_of_val(strings.values.as_slice()) + strings.values.iter().map(Vec::len).sum::<usize>()
        }
        Some(Kind::Lists(lists)) => {
            let items = lists.items.as_ref().map_or(0, |items| of_values(items));
            size_of_val(lists.lengths.as_slice()) + lists.item_validity.len() + items
        }
        Some(Kind::Vectors(vectors)) => size_of_val(vectors.items.as_slice()),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use hitherto_proto::v1::{Column, Int64s, Lists, Strings};

    use super::*;

    #[test]
    fn what_is_small_on_the_wire_counts_as_what_it_becomes() {
        let values = |kind| Values { kind: Some(kind) };
        let push = |kind| PushRequest {
            columns: vec![Column { values: Some(values(kind)), ..Column::default() }],
            ..PushRequest::default()
        };
        let numbers = Int64s { values: vec![0; 1_000] };
        assert_eq!(weight(&push(Kind::Int64s(numbers.clone()))), 2 * 8_000);
        let texts = Strings { values: vec!["ab".to_owned(); 10] };
        assert_eq!(weight(&push(Kind::Strings(texts))), 2 * 10 * (size_of::<String>() + 2));
        let lists =
            Lists { lengths: vec![500, 500], items: Some(Box::new(values(Kind::Int64s(numbers)))), ..Lists::default() };
        assert_eq!(weight(&push(Kind::Lists(Box::new(lists)))), 2 * (8_000 + 8));
        assert_eq!(weight(&PushRequest::default()), 0);
    }
}
