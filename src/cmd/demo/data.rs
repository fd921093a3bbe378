//! The flights, carried in the binary, laid out as files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Left in the folder, so that a later demo knows that it may begin afresh there.
const MARK: &str = "made-by-hitherto-demo.txt";

macro_rules! flights {
    ($($file:literal),*) => { [$(($file, include_bytes!(concat!("../../../data/flights/", $file)).as_slice())),*] };
}

const FILES: [(&str, &[u8]); 7] = flights![
    "README.md",
    "definitions.yaml",
    "spine.parquet",
    "aircraft_last_leg.parquet",
    "origin_hour.parquet",
    "carrier_day.parquet",
    "weather.parquet"
];

/// Make `folder` with the files in `data/`. What an earlier demo left there goes; anything else is refused.
pub(super) fn lay_out(folder: &Path) -> Result<()> {
    if folder.join(MARK).is_file() {
        for left in [".hitherto", "data"] {
            let left = folder.join(left);
            if left.is_dir() {
                fs::remove_dir_all(&left).with_context(|| format!("could not remove {}", left.display()))?;
            }
        }
    } else if folder.is_dir() && fs::read_dir(folder)?.next().is_some() {
        bail!("{} is not empty, and no demo made it: name another folder", folder.display());
    }
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("could not make {}", data.display()))?;
    fs::write(folder.join(MARK), "hitherto demo made this folder, and makes it afresh when it runs here again.\n")?;
    // a store of an outer project must not be found from here
    fs::create_dir_all(folder.join(".hitherto"))?;
    FILES.iter().try_for_each(|(name, bytes)| {
        let file = data.join(name);
        fs::write(&file, bytes).with_context(|| format!("could not write {}", file.display()))
    })
}
