//! Amounts of memory as people write them: `512MiB`, `4GB`, `65536`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// So many bytes. `KB`, `MB`, `GB` are powers of 1000; `KiB`, `MiB`, `GiB` and the bare letters are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub usize);

const UNITS: [(&str, usize); 12] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("b", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, bytes)| Some((lower.strip_suffix(suffix)?, *bytes)))
            .unwrap_or((lower.as_str(), 1));
        let bytes = number.trim().parse::<usize>().ok().filter(|number| *number > 0);
        let bytes = bytes.and_then(|number| number.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| format!("'{text}' is no amount of memory: write it like 512MiB or 4GB"))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// In the largest binary unit that is not below 10 of it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut amount, mut unit) = (self.0, "B");
        for next in ["KiB", "MiB", "GiB"] {
            if amount < 10 * 1024 {
                break;
            }
            (amount, unit) = (amount / 1024, next);
        }
        write!(f, "{amount} {unit}")
    }
}

impl Size {
    /// Half of the memory that this process may use: the machine's, or that of its control group where that is less.
    pub fn half_of_the_machine() -> Self {
        /// Where the machine does not say.
        const UNKNOWN: usize = 8 << 30;
        let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
        let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
        Self(machine.into_iter().chain(group).min().unwrap_or(UNKNOWN) / 2)
    }
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("65536", 65_536, "64 KiB"),
            ("512MiB", 512 << 20, "512 MiB"),
            ("4 GB", 4_000_000_000, "3814 MiB"),
            ("2g", 2 << 30, "2048 MiB"),
            ("16gib", 16 << 30, "16 GiB"),
            ("700b", 700, "700 B"),
        ] {
            let size: Size = text.parse().expect(text);
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "0", "-1", "1.5GB", "many", "9999999999TB"] {
            let error = text.parse::<Size>().expect_err(text);
            assert_eq!(error, format!("'{text}' is no amount of memory: write it like 512MiB or 4GB"));
        }
    }

    #[test]
    fn the_machines_memory_is_in_its_second_column() {
        assert_eq!(total_of("MemFree:  1 kB\nMemTotal:       24576000 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(total_of("nothing"), None);
        assert!(Size::half_of_the_machine().0 > 64 << 20);
    }
}
