//! How a row and marks lie in a store, the same in each of them.
//!
//! A row begins with 25 bytes whose order, byte by byte and unsigned, is the order of [`RowVersion`]: event time,
//! created time behind a byte that says whether there is one, sequence; integers big endian with the sign flipped.
//! Then a byte of format and flags, then the packed values.

use bytes::{Buf, Bytes};
use hitherto_core::Timestamp;

use crate::{Marks, OnlineRow, RowVersion};

/// Length of the part that orders rows.
pub(crate) const VERSION_LEN: usize = 25;
/// Length of the marks.
pub(crate) const MARKS_LEN: usize = 16;

const HEADER_LEN: usize = VERSION_LEN + 1;
/// The high half of the flags' byte is the format of the record.
const FORMAT: u8 = 0x10;
const DELETED: u8 = 0x01;

/// Appends the row's record.
pub(crate) fn push_row(out: &mut Vec<u8>, row: &OnlineRow) {
    out.reserve(HEADER_LEN + row.values.len());
    out.extend(ordered(row.version.event.0));
    out.push(u8::from(row.version.created.is_some()));
    out.extend(row.version.created.map_or([0; 8], |created| ordered(created.0)));
    out.extend(ordered(row.version.sequence));
    out.push(FORMAT | if row.deleted { DELETED } else { 0 });
    out.extend(&row.values);
}

/// The row of a record; its values share the record's memory.
pub(crate) fn row(mut record: Bytes) -> Result<OnlineRow, &'static str> {
    let Some((header, _)) = record.split_first_chunk::<HEADER_LEN>() else {
        return Err("the record is cut short");
    };
    let created = match header[8] {
        0 => None,
        1 => Some(Timestamp(integer(header, 9))),
        _ => return Err("the record is not one of ours"),
    };
    let flags = header[VERSION_LEN];
    if flags & !DELETED != FORMAT {
        return Err("the record is of a format that this version does not know");
    }
    let version = RowVersion { event: Timestamp(integer(header, 0)), created, sequence: integer(header, 17) };
    // a slice would be a second owner of the memory, for which more of it is needed
    record.advance(HEADER_LEN);
    Ok(OnlineRow { version, deleted: flags & DELETED != 0, values: record })
}

/// The record of marks.
pub(crate) fn marks_bytes(marks: Marks) -> [u8; MARKS_LEN] {
    let mut out = [0; MARKS_LEN];
    out[..8].copy_from_slice(&ordered(marks.sequence));
    out[8..].copy_from_slice(&ordered(marks.clock.0));
    out
}

/// The marks of a record.
pub(crate) fn marks(record: &[u8]) -> Result<Marks, &'static str> {
    let record: &[u8; MARKS_LEN] = record.try_into().map_err(|_| "the marks are cut short")?;
    Ok(Marks { sequence: integer(record, 0), clock: Timestamp(integer(record, 8)) })
}

fn ordered(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

fn integer<const N: usize>(record: &[u8; N], at: usize) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(version: RowVersion, deleted: bool, values: &'static [u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_row(&mut out, &OnlineRow { version, deleted, values: Bytes::from_static(values) });
        out
    }

    #[test]
    fn golden_records() {
        let version = RowVersion { event: Timestamp(-1), created: Some(Timestamp(258)), sequence: (1 << 53) + 1 };
        assert_eq!(
            record(version, true, b"v"),
            [
                0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // event
                1, 0x80, 0, 0, 0, 0, 0, 1, 2, // created
                0x80, 0x20, 0, 0, 0, 0, 0, 1, // sequence
                0x11, b'v'
            ]
        );
        let least = RowVersion { event: Timestamp::MIN, created: None, sequence: i64::MAX };
        assert_eq!(
            record(least, false, b""),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10]
        );
        assert_eq!(
            marks_bytes(Marks { sequence: 1, clock: Timestamp(-1) }),
            [0x80, 0, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        );
    }

    #[test]
    fn foreign_records_are_refused() {
        let good = record(RowVersion { event: Timestamp(0), created: None, sequence: 0 }, false, b"");
        for length in 0..good.len() {
            assert!(row(Bytes::copy_from_slice(&good[..length])).is_err(), "cut at {length}");
        }
        for (at, byte) in [(8, 2), (25, 0), (25, 0x20), (25, 0x12)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(row(bad.into()).is_err(), "{byte} at {at}");
        }
        assert!(marks(&[0; 15]).is_err() && marks(&[0; 17]).is_err());
    }

    fn versions() -> impl Strategy<Value = RowVersion> {
        let time = || prop_oneof![any::<i64>(), -2..=2i64, Just(i64::MIN), Just(i64::MAX)];
        (time(), proptest::option::of(time()), time()).prop_map(|(event, created, sequence)| RowVersion {
            event: Timestamp(event),
            created: created.map(Timestamp),
            sequence,
        })
    }

    proptest! {
        #[test]
        fn records_order_as_versions_do_and_come_back(a in versions(), b in versions(), deleted: bool) {
            let (left, right) = (record(a, deleted, b"zz"), record(b, false, b""));
            prop_assert_eq!(left[..VERSION_LEN].cmp(&right[..VERSION_LEN]), a.cmp(&b));
            let back = row(left.into()).expect("a record of ours");
            prop_assert_eq!((back.version, back.deleted, &back.values[..]), (a, deleted, &b"zz"[..]));
        }

        #[test]
        fn marks_come_back(sequence: i64, clock: i64) {
            let given = Marks { sequence, clock: Timestamp(clock) };
            prop_assert_eq!(marks(&marks_bytes(given)), Ok(given));
        }
    }
}
