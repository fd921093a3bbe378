//! Cutting a write of any size into pieces that a store takes at once.

use std::borrow::Borrow;

use crate::Write;

/// How much goes into one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Cuts `writes` into pieces within `limit`; a row larger than the limit makes a piece of its own.
pub(crate) fn pieces<W: Borrow<Write>>(writes: &[W], limit: Limit) -> impl Iterator<Item = &[W]> {
    let mut rest = writes;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(limit.rows).take_while(|write| {
            let write = <W as Borrow<Write>>::borrow(write);
            bytes += write.key.len() + write.row.values.len();
            bytes <= limit.bytes
        });
        let length = fits.count().max(1);
        let (piece, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use hitherto_core::Timestamp;

    use super::*;
    use crate::{OnlineRow, RowVersion};

    #[test]
    fn pieces_keep_to_rows_and_bytes_and_lose_nothing() {
        let write = |length: usize| Write {
            key: Vec::new(),
            row: OnlineRow {
                version: RowVersion { event: Timestamp(0), created: None, sequence: 0 },
                deleted: false,
                values: vec![0; length].into(),
            },
        };
        let lengths = |sizes: &[usize]| -> Vec<usize> {
            let writes: Vec<Write> = sizes.iter().map(|&size| write(size)).collect();
            pieces(&writes, Limit { rows: 3, bytes: 10 }).map(<[Write]>::len).collect()
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1, 1, 1, 1]), [3, 1]);
        assert_eq!(lengths(&[5, 5, 5, 99, 1]), [2, 1, 1, 1]);
    }
}
