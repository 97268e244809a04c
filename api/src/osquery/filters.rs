//! Which packs and queries concern a host: the tests agents make, the same in every version from 3.0 on.

use sha1::{Digest, Sha1};

/// The systems osquery is built for, as its `platform` filters know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    Linux,
    Darwin,
    Windows,
    FreeBsd,
}

impl Platform {
    pub const ALL: [Self; 4] = [Self::Linux, Self::Darwin, Self::Windows, Self::FreeBsd];

    /// The agent's own word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Darwin => "darwin",
            Self::Windows => "windows",
            Self::FreeBsd => "freebsd",
        }
    }

    pub fn is_posix(self) -> bool {
        self != Self::Windows
    }
}

/// The 0 to 100 into which the agent sorts a host by the first byte of its hashed name.
pub fn shard_of(hostname: &str) -> u64 {
    let digest = Sha1::digest(hostname.as_bytes());
    u64::from(digest.first().copied().unwrap_or_default()) * 100 / 255
}

/// Whether a host in `machine` runs something limited to `shard` (0 limits nothing).
pub fn shard_allows(shard: u64, machine: u64) -> bool {
    shard == 0 || shard >= machine
}

/// The agent's substring test on a `platform` filter.
pub fn platform_allows(filter: &str, platform: Platform) -> bool {
    let has = |word: &str| filter.contains(word);
    if filter.is_empty() || filter == "null" || has("any") || has("all") {
        return true;
    }
    (platform == Platform::Linux && (has("linux") || has("ubuntu") || has("centos")))
        || (platform.is_posix() && has("posix"))
        || has(platform.word())
}

/// Whether `version` reaches the `required` minimum.
pub fn version_allows(required: &str, version: &str) -> bool {
    if matches!(required, "" | "null" | "0.0.0") {
        return true;
    }
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap_or(0)
    };
    for (needed, present) in required.split('.').zip(version.split('.')) {
        let (needed, present) = (number(needed), number(present));
        if needed != present {
            return needed < present;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_follow_the_hashed_name() {
        assert_eq!(shard_of("localhost"), 20);
        assert_eq!(shard_of("google.com"), 72);
        assert_eq!(shard_of("web-01.example.com"), 61);
        assert!(shard_allows(0, 100) && shard_allows(100, 100) && shard_allows(20, 20));
        assert!(!shard_allows(19, 20) && !shard_allows(1, 2));
    }

    #[test]
    fn platforms_are_substrings() {
        for (filter, linux, darwin, windows, freebsd) in [
            ("", true, true, true, true),
            ("null", true, true, true, true),
            ("all", true, true, true, true),
            ("any", true, true, true, true),
            ("linux", true, false, false, false),
            ("ubuntu", true, false, false, false),
            ("centos", true, false, false, false),
            ("posix", true, true, false, true),
            ("darwin", false, true, false, false),
            ("windows,darwin", false, true, true, false),
            ("macos", false, false, false, false),
            ("osx", false, false, false, false),
            ("gentoo", false, false, false, false),
            ("freebsd", false, false, false, true),
        ] {
            let seen = Platform::ALL.map(|platform| platform_allows(filter, platform));
            assert_eq!(seen, [linux, darwin, windows, freebsd], "{filter}");
        }
    }

    #[test]
    fn versions_are_minimums() {
        for (required, version, allowed) in [
            ("", "5.1.0", true),
            ("1.4.5", "5.1.0", true),
            ("99.0.0", "5.1.0", false),
            ("5.10", "5.9.1", false),
            ("5.9", "5.10.0", true),
            ("5.1.0.7", "5.1.0", true),
            ("5.23.0", "5.23.0-38-gabc", true),
            ("5-3-gabc.2", "5.2.0", true),
        ] {
            assert_eq!(version_allows(required, version), allowed, "{required} {version}");
        }
    }
}
