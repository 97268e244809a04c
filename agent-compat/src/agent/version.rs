//! Which release of osquery an agent claims to be.

/// A release number, comparable. Unparsable parts count as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    commits_after: u32,
}

impl Version {
    /// Reads `5.12.2` as well as a build between releases such as `5.23.0-38-ga5b14f63d`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Self { major: next(), minor: next(), patch: next(), commits_after: next() }
    }

    /// Whether this is that release or a newer one.
    #[must_use]
    pub fn at_least(self, major: u32, minor: u32, patch: u32) -> bool {
        (self.major, self.minor, self.patch) >= (major, minor, patch)
    }

    /// Largest configuration, as compact JSON, that this release applies; `None` if it has no limit of its own.
    #[must_use]
    pub fn max_config_bytes(self) -> Option<usize> {
        let newest_release = Self { major: 5, minor: 23, patch: 1, commits_after: 0 };
        if !self.at_least(4, 3, 0) {
            None
        } else if self > newest_release || (self.at_least(5, 23, 0) && self.commits_after > 0) {
            Some(4 * 1024 * 1024 - 1)
        } else {
            Some(1024 * 1024 - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn releases_are_ordered_by_number() {
        assert!(Version::parse("5.9.1") < Version::parse("5.12.0"));
        assert!(Version::parse("5.23.0-38-ga5b14f63d").at_least(5, 23, 0));
        assert!(!Version::parse("4.9.0").at_least(5, 0, 0));
        assert_eq!(Version::parse("4.1").max_config_bytes(), None);
        assert_eq!(Version::parse("5.23.1").max_config_bytes(), Some(1_048_575));
        assert_eq!(Version::parse("5.23.0-38-gabc").max_config_bytes(), Some(4_194_303));
    }
}
