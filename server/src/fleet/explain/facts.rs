use muster_api::osquery::filters::{Platform, platform_allows, shard_allows, shard_of, version_allows};

use crate::fleet::hosts::Family;
use crate::store::entity::hosts::Model;

/// The facts of a host that agents' filters use.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostFacts<'a> {
    pub platform: Option<Platform>,
    pub version: &'a str,
    pub shard_hostname: &'a str,
}

/// The limits of a pack or query.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits<'a> {
    pub platform: &'a str,
    pub version: &'a str,
    /// A percentage of hosts; 0 means no limit.
    pub shard: u64,
}

impl<'a> HostFacts<'a> {
    pub fn of(row: &'a Model) -> Self {
        Self {
            platform: platform(&row.platform).or_else(|| platform(&row.platform_like)),
            version: &row.osquery_version,
            shard_hostname: &row.shard_hostname,
        }
    }

    /// Why the host does not run a pack or query (`what`) with these limits; `None` if it does.
    pub fn excluded(&self, what: &str, limits: &Limits<'_>) -> Option<String> {
        let allows = |platform: &Platform| platform_allows(limits.platform, *platform);
        if !Platform::ALL.iter().all(allows) {
            match self.platform {
                None => {
                    return Some(format!(
                        "the host has not said yet what its platform is, and the {what} is for {:?}",
                        limits.platform
                    ));
                }
                Some(platform) if !allows(&platform) => {
                    return Some(format!(
                        "the {what} is for platform {:?}, and the host is {}",
                        limits.platform,
                        platform.word()
                    ));
                }
                Some(_) => {}
            }
        }
        if !version_allows(limits.version, self.version) {
            let has = if self.version.is_empty() { "an unknown one" } else { self.version };
            return Some(format!(
                "the {what} is for agents from version {} on, and the host has {has}",
                limits.version
            ));
        }
        if (1..100).contains(&limits.shard) && self.shard_hostname.is_empty() {
            let shard = limits.shard;
            return Some(format!(
                "the host has not said yet what its name is, and the {what} is for shard {shard} of 100"
            ));
        }
        let shard = shard_of(self.shard_hostname);
        if !shard_allows(limits.shard, shard) {
            return Some(format!("the {what} is for shard {} of 100, and the host is in {shard}", limits.shard));
        }
        None
    }
}

/// The platform by the words of `os_version`.
pub(super) fn platform(word: &str) -> Option<Platform> {
    match (Family::of(None, word), word) {
        (Family::Linux, _) => Some(Platform::Linux),
        (Family::MacOs, _) => Some(Platform::Darwin),
        (Family::Windows, _) => Some(Platform::Windows),
        (Family::Other, "freebsd") => Some(Platform::FreeBsd),
        (Family::ChromeOs | Family::Other, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_that_leaves_a_host_out_is_named() {
        let host =
            HostFacts { platform: Some(Platform::Linux), version: "5.9.1", shard_hostname: "web-01.example.com" };
        let unknown = HostFacts { platform: None, version: "", shard_hostname: "" };
        for (facts, platform, version, shard, expected) in [
            (host, "", "", 0, None),
            (host, "ubuntu", "5.9.0", 61, None),
            (host, "darwin", "9.0", 1, Some("the pack is for platform \"darwin\", and the host is linux")),
            (host, "linux", "5.10.0", 1, Some("the pack is for agents from version 5.10.0 on, and the host has 5.9.1")),
            (host, "posix", "", 60, Some("the pack is for shard 60 of 100, and the host is in 61")),
            (unknown, "all", "", 100, None),
            (
                unknown,
                "",
                "",
                20,
                Some("the host has not said yet what its name is, and the pack is for shard 20 of 100"),
            ),
            (
                unknown,
                "linux",
                "",
                0,
                Some("the host has not said yet what its platform is, and the pack is for \"linux\""),
            ),
            (
                unknown,
                "",
                "5.0",
                0,
                Some("the pack is for agents from version 5.0 on, and the host has an unknown one"),
            ),
        ] {
            assert_eq!(facts.excluded("pack", &Limits { platform, version, shard }).as_deref(), expected);
        }
    }

    #[test]
    fn platforms_follow_the_words_of_os_version() {
        for (word, expected) in [
            ("ubuntu", Some(Platform::Linux)),
            ("arch", Some(Platform::Linux)),
            ("darwin", Some(Platform::Darwin)),
            ("windows", Some(Platform::Windows)),
            ("freebsd", Some(Platform::FreeBsd)),
            ("openbsd", None),
            ("", None),
        ] {
            assert_eq!(platform(word), expected, "{word}");
        }
    }
}
