//! What processors did for a process, as Linux counts it.

use std::io;
use std::time::Duration;

/// `USER_HZ`, the unit of these counts, on x86 and ARM.
const TICKS_PER_S: f64 = 100.0;

/// A process whose processor time is told, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The name in the report.
    pub name: String,
    /// Its process id; none for this process.
    pub pid: Option<u32>,
}

impl Watched {
    /// Processor time since the process began: all its threads, those that have ended too, in user and kernel mode. To 10 ms.
    pub fn processor_time(&self) -> io::Result<Duration> {
        let process = self.pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        parse(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("it says '{}'", stat.trim())))
    }
}

/// The 14th and 15th field; the second is the program's name in parentheses, with whatever is in it.
fn parse(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut ticks = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, kernel) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Duration::try_from_secs_f64((user + kernel) as f64 / TICKS_PER_S).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_kernel_time_are_found_whatever_the_program_is_called() {
        let rest = "S 1 7 7 0 -1 4194560 900 0 0 0 1234 66 0 0 20 0 9 0 88 1000 200 18446744073709551615";
        for name in ["hitherto", "a b", "(x) 9 9", ")"] {
            assert_eq!(parse(&format!("42 ({name}) {rest}")), Some(Duration::from_secs(13)), "{name}");
        }
        for broken in ["", "42 (hitherto)", "42 (hitherto) S 1 7 7 0 -1 4194560 900 0 0 0 1234"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_a_processor() {
        let this = Watched { name: "client".to_owned(), pid: None };
        let before = this.processor_time().expect("its count");
        let mut random = crate::load::keys::Random::new(1);
        let mut last = before;
        // until the next tick of the count
        while last == before {
            std::hint::black_box((0..100_000).map(|_| random.bits()).max());
            last = this.processor_time().expect("its count");
        }
        assert!(last > before);
        let named = Watched { name: "same".to_owned(), pid: Some(std::process::id()) };
        assert!(named.processor_time().expect("its count") >= last);
    }
}
