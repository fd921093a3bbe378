//! How a training set's rows are told apart, as flags.

use std::str::FromStr;

use anyhow::{Result, bail};
use hitherto_core::{Span, Split, Timestamp};

/// Flags of a split.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Add a column `split` by time: train before the first, validation before the second (without one, there is no
    /// validation), then test
    #[arg(long = "split-time", value_name = "T1[,T2]", value_delimiter = ',', num_args = 1)]
    time: Vec<Timestamp>,
    /// How long rows after each of these times are in no part (null), so that labels that look ahead do not overlap
    #[arg(long = "split-gap", value_name = "DURATION", requires = "time")]
    gap: Option<Span>,
    /// Add a column `split` by key, so that all rows of one key are in one part: shares like train=80,validation=10,test=10
    #[arg(long = "split-keys", value_name = "SHARES", conflicts_with = "time")]
    keys: Option<Shares>,
    /// The spine's columns that the split goes by [default: the key that all views share]
    #[arg(long = "split-by", value_name = "COLUMN,…", value_delimiter = ',', num_args = 1, requires = "keys")]
    by: Vec<String>,
}

/// The shares of train, validation and test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares([u32; 3]);

impl Flags {
    /// The split that they ask for, if they ask for one.
    pub(crate) fn split(self) -> Result<Option<Split>> {
        if let Some(Shares(weights)) = self.keys {
            return Ok(Some(Split::Key { columns: self.by, weights }));
        }
        let gap = self.gap.unwrap_or_default();
        Ok(match self.time.as_slice() {
            [] => None,
            [train_end] => Some(Split::Time { train_end: *train_end, validation_end: None, gap }),
            [train_end, validation_end] => {
                Some(Split::Time { train_end: *train_end, validation_end: Some(*validation_end), gap })
            }
            many => bail!("--split-time takes one or two times, where train and validation end, not {}", many.len()),
        })
    }
}

impl FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("'{text}' {what}: write it like train=80,validation=10,test=10");
        let mut shares = [None; 3];
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or_else(|| wrong("are no shares"))?;
            let place = ["train", "validation", "test"].iter().position(|known| *known == name.trim());
            let place = place.ok_or_else(|| wrong(&format!("names a part '{}'", name.trim())))?;
            let share = share.trim().parse().map_err(|_| wrong(&format!("gives '{}' as a share", share.trim())))?;
            if shares[place].replace(share).is_some() {
                return Err(wrong(&format!("names '{}' twice", name.trim())));
            }
        }
        Ok(Self(shares.map(Option::unwrap_or_default)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_any_order_and_what_is_wrong_is_said() {
        assert_eq!("train=80,validation=10,test=10".parse(), Ok(Shares([80, 10, 10])));
        assert_eq!("test=1, train=3".parse(), Ok(Shares([3, 0, 1])));
        let fault = |text: &str| text.parse::<Shares>().expect_err("wrong");
        let remedy = "write it like train=80,validation=10,test=10";
        assert_eq!(fault("80"), format!("'80' are no shares: {remedy}"));
        assert_eq!(fault("dev=1"), format!("'dev=1' names a part 'dev': {remedy}"));
        assert_eq!(fault("train=-1"), format!("'train=-1' gives '-1' as a share: {remedy}"));
        assert_eq!(fault("train=1,train=2"), format!("'train=1,train=2' names 'train' twice: {remedy}"));
    }
}
