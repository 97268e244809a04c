//! What the kernel tells of this process in `/proc/self`. What it does not tell is zero or absent.

use std::fs::read_to_string;

/// Ticks in a second, the same on all processors that Linux runs on today.
const TICKS: f64 = 100.0;

/// A number of `/proc/self/status` by its name.
pub(super) fn status(name: &str) -> u64 {
    number_of(&read_to_string("/proc/self/status").unwrap_or_default(), name)
}

/// CPU time of the process in user and system mode, in seconds.
pub(super) fn cpu_seconds() -> f64 {
    read_to_string("/proc/self/stat").ok().and_then(|stat| Some(Stat::read(&stat)?.cpu_seconds)).unwrap_or_default()
}

/// Files that are open, and the most that may be.
pub(super) fn open_files() -> (u64, u64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    let limits = read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files")).and_then(first_number);
    (open, most.unwrap_or_default())
}

/// What a file `stat` of a process or thread tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stat {
    pub name: String,
    pub state: char,
    pub cpu_seconds: f64,
}

impl Stat {
    pub fn read(text: &str) -> Option<Self> {
        // The name may hold anything.
        let (start, rest) = text.rsplit_once(')')?;
        let name = start.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some(Self { name, state: fields.first()?.chars().next()?, cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS })
    }
}

fn number_of(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(first_number).unwrap_or_default()
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses() {
        let stat = "42 (a) b) (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 100 1000 10 1";
        let read = Stat { name: "a) b) (c".to_owned(), state: 'S', cpu_seconds: 2.0 };
        assert_eq!(Stat::read(stat), Some(read));
        assert_eq!(Stat::read("42 (a"), None);
    }

    #[test]
    fn this_process_has_threads_memory_and_files() {
        assert!(status("Threads") >= 1 && status("VmRSS") > 1_000);
        let (open, most) = open_files();
        assert!(open >= 3 && most >= open, "{open} of {most}");
    }
}
