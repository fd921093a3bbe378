//! The answer to a read, read where it lies: what a client does that wants to go on with the values.

use hitherto_proto::v1;
use prost::Message;

use super::{Failed, Taken};

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer<'a> {
    pub(super) columns: Vec<Column<'a>>,
    /// By view, one a row.
    pub(super) event_times_us: Vec<Vec<i64>>,
    pub(super) rows: u64,
}

/// A column of it.
#[derive(Debug, PartialEq)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) value_type: &'a str,
    pub(super) values: Values,
    /// As numbers of the wire, one a row.
    pub(super) statuses: &'a [u8],
}

/// A column's values.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    /// Those of `int64`, by far the most that load asks for.
    Int64s(Vec<i64>),
    /// Those of other types.
    Others(v1::Values),
}

/// A field of a message.
#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

/// Bytes that are no message of ours.
#[derive(Debug, PartialEq)]
pub(super) struct Broken;

type Read<T> = Result<T, Broken>;

/// What an answer for so many entities holds, all of it read.
pub(super) fn taken(message: &[u8], entities: usize) -> Result<Taken, Failed> {
    let answer = answer(message).map_err(|_| Failed::WRONG_ANSWER)?;
    let has_all_rows = |times: &Vec<i64>| times.len() == entities;
    if answer.rows != entities as u64 || !answer.event_times_us.iter().all(has_all_rows) {
        return Err(Failed::WRONG_ANSWER);
    }
    let mut taken = Taken::default();
    for Column { name, value_type, values, statuses } in &answer.columns {
        let has_values = match values {
            Values::Int64s(values) => values.len() == entities,
            Values::Others(values) => values.kind.is_some(),
        };
        if name.is_empty() || value_type.is_empty() || !has_values || statuses.len() != entities {
            return Err(Failed::WRONG_ANSWER);
        }
        let present = v1::Status::Present as u8;
        let there = statuses.iter().map(|status| usize::from(*status == present)).sum::<usize>();
        taken.present += there as u64;
        taken.absent += (entities - there) as u64;
    }
    Ok(taken)
}

/// A `GetFeaturesResponse`.
pub(super) fn answer(message: &[u8]) -> Read<Answer<'_>> {
    let mut found = Answer { columns: Vec::with_capacity(64), event_times_us: Vec::new(), rows: 0 };
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Field::Bytes(column)) => found.columns.push(feature_column(column)?),
            (2, Field::Bytes(view)) => found.event_times_us.push(event_times(view)?),
            (6, Field::Number(rows)) => found.rows = rows,
            _ => {}
        }
    }
    Ok(found)
}

fn event_times(message: &[u8]) -> Read<Vec<i64>> {
    let mut times = Vec::new();
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        if let (4, Field::Bytes(packed)) = field {
            read_packed(packed, &mut times)?;
        }
    }
    Ok(times)
}

fn feature_column(message: &[u8]) -> Read<Column<'_>> {
    let mut found = Column { name: "", value_type: "", values: Values::Int64s(Vec::new()), statuses: &[] };
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Field::Bytes(column)) => read_column(column, &mut found)?,
            // packed, and each of them below 128
            (2, Field::Bytes(statuses)) => found.statuses = statuses,
            _ => {}
        }
    }
    Ok(found)
}

fn read_column<'a>(message: &'a [u8], found: &mut Column<'a>) -> Read<()> {
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Field::Bytes(name)) => found.name = text(name)?,
            (2, Field::Bytes(value_type)) => found.value_type = text(value_type)?,
            (3, Field::Bytes(values)) => found.values = read_values(values)?,
            _ => {}
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Read<&str> {
    std::str::from_utf8(bytes).map_err(|_| Broken)
}

fn read_values(message: &[u8]) -> Read<Values> {
    let Some((3, Field::Bytes(int64s))) = Fields(message).next()? else {
        return v1::Values::decode(message).map(Values::Others).map_err(|_| Broken);
    };
    let mut values = Vec::new();
    let mut fields = Fields(int64s);
    while let Some(field) = fields.next()? {
        if let (1, Field::Bytes(packed)) = field {
            read_packed(packed, &mut values)?;
        }
    }
    Ok(Values::Int64s(values))
}

fn read_packed(packed: &[u8], values: &mut Vec<i64>) -> Read<()> {
    // each number ends with a byte below 128
    values.reserve(packed.iter().filter(|byte| **byte < 0x80).count());
    let mut rest = Fields(packed);
    while !rest.0.is_empty() {
        let number = rest.number()?;
        values.push((number >> 1) as i64 ^ -((number & 1) as i64));
    }
    Ok(())
}

impl<'a> Fields<'a> {
    /// The next field and its number; none at the end.
    fn next(&mut self) -> Read<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.number()?;
                Field::Bytes(self.take(usize::try_from(length).map_err(|_| Broken)?)?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
            _ => return Err(Broken),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Read<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first().ok_or(Broken)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
            if shift > 63 {
                return Err(Broken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use v1::values::Kind;

    use super::*;

    fn column(name: &str, value_type: &str, kind: Kind, statuses: &[v1::Status]) -> v1::FeatureColumn {
        let column = v1::Column {
            name: name.to_owned(),
            r#type: value_type.to_owned(),
            values: Some(v1::Values { kind: Some(kind) }),
            validity: statuses.iter().map(|status| *status == v1::Status::Present).collect(),
        };
        let statuses = statuses.iter().map(|status| i32::from(*status)).collect();
        v1::FeatureColumn { column: Some(column), statuses, view: Some(0) }
    }

    fn message() -> Vec<u8> {
        let statuses = [v1::Status::Present, v1::Status::NotFound, v1::Status::Present];
        let numbers = Kind::Int64s(v1::Int64s { values: vec![i64::MIN, 0, 1 << 40] });
        let floats = Kind::Float64s(v1::Float64s { values: vec![0.5, 0.0, -1.0] });
        v1::GetFeaturesResponse {
            columns: vec![column("a", "int64", numbers, &statuses), column("b", "float64", floats, &statuses)],
            views: vec![v1::ViewAnswer { name: "v".to_owned(), event_times_us: vec![-1, 0, 5], ..Default::default() }],
            clock_us: -7,
            rows: 3,
            ..Default::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn columns_are_read_as_they_were_written() {
        let message = message();
        let Answer { columns, event_times_us, rows } = answer(&message).expect("an answer");
        assert_eq!((rows, columns.len(), event_times_us), (3, 2, vec![vec![-1, 0, 5]]));
        assert_eq!((columns[0].name, columns[0].value_type, columns[0].statuses), ("a", "int64", &[1, 3, 1][..]));
        assert_eq!(columns[0].values, Values::Int64s(vec![i64::MIN, 0, 1 << 40]));
        let floats = Kind::Float64s(v1::Float64s { values: vec![0.5, 0.0, -1.0] });
        assert_eq!(columns[1].values, Values::Others(v1::Values { kind: Some(floats) }));
        assert_eq!(taken(&message, 3), Ok(Taken { present: 4, absent: 2, acknowledged: None }));
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_told_from_one() {
        let message = message();
        assert_eq!(taken(&message, 2), Err(Failed::WRONG_ANSWER));
        assert_eq!(taken(&message[..message.len() - 1], 3), Err(Failed::WRONG_ANSWER));
        assert_eq!(taken(&[0xff; 20], 3), Err(Failed::WRONG_ANSWER));
        assert_eq!(taken(&[], 3), Err(Failed::WRONG_ANSWER));
    }
}
