//! The binary `hitherto`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hitherto_cli::run()
}
