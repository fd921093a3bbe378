//! How many files, connections among them, the system lets this process have open.

const LIMITS: &str = "/proc/self/limits";

/// So many at once; none where the system does not say, or sets no limit.
pub(crate) fn max() -> Option<usize> {
    std::fs::read_to_string(LIMITS).ok().and_then(|text| soft_limit(&text))
}

/// The first number of its line: what counts, until the process asks for more.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_counts_is_the_first() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             95000                95000                processes\n\
                      Max open files            1024                 1048576              files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(soft_limit(""), None);
    }
}
