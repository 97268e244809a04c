//! Labels that come with the server. Their names are the ones Fleet's users have in their files.

use sea_orm::Set;

use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::entity::labels;
use crate::store::{self, Store, generations};

/// A label every server has.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinLabel {
    pub name: &'static str,
    pub description: &'static str,
    /// Shown to operators; membership follows from what a host says of its system, by the same rule.
    pub query: &'static str,
    pub platform: &'static str,
    is_member: fn(&HostSystem<'_>) -> bool,
}

impl BuiltinLabel {
    /// Whether a host with this system is in it.
    pub fn has(&self, system: &HostSystem<'_>) -> bool {
        (self.is_member)(system)
    }
}

/// What a host says of its system.
#[derive(Debug, Clone, Copy)]
pub struct HostSystem<'a> {
    /// As [`set_details`](super::set_details) keeps it.
    pub platform: &'a str,
    /// Begins with `os_version.name`.
    pub os_version: &'a str,
    pub family: Family,
}

impl HostSystem<'_> {
    fn has_name(&self, part: &str) -> bool {
        self.os_version.to_ascii_lowercase().contains(part)
    }
}

/// What kind of system a host runs, by the bits agents enroll with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Linux,
    MacOs,
    Windows,
    ChromeOs,
    Other,
}

impl Family {
    /// Bits of `platform_type`, as osquery defines them.
    const WINDOWS: u32 = 0x02;
    const LINUX: u32 = 0x08;
    const MACOS: u32 = 0x10;

    /// Reads the bit mask, or goes by the platform's name where it is missing.
    pub fn of(platform_type: Option<&str>, platform: &str) -> Self {
        if let Some(bits) = platform_type.and_then(|text| text.trim().parse::<u32>().ok()).filter(|bits| *bits != 0) {
            return if bits & Self::MACOS != 0 {
                Self::MacOs
            } else if bits & Self::LINUX != 0 {
                Self::Linux
            } else if bits & Self::WINDOWS != 0 {
                Self::Windows
            } else {
                Self::Other
            };
        }
        match platform {
            "darwin" => Self::MacOs,
            "windows" => Self::Windows,
            "chrome" => Self::ChromeOs,
            "" | "freebsd" | "openbsd" | "netbsd" | "ios" | "ipados" | "android" => Self::Other,
            _ => Self::Linux,
        }
    }
}

/// Whether a word that operators write for a platform means hosts of this platform: the platform itself, or what agents
/// know besides (`linux` is every distribution).
pub fn means_platform(word: &str, platform: &str) -> bool {
    let family = || Family::of(None, platform);
    match word.to_ascii_lowercase().as_str() {
        "any" | "all" => true,
        "linux" => family() == Family::Linux,
        "posix" => matches!(family(), Family::Linux | Family::MacOs) || platform.ends_with("bsd"),
        word => word == platform.to_ascii_lowercase(),
    }
}

/// The label every host is in.
pub const ALL_HOSTS: &str = "All Hosts";

/// All built-in labels, in the order in which they are created.
pub const BUILTIN: [BuiltinLabel; 7] = [
    BuiltinLabel {
        name: ALL_HOSTS,
        description: "All hosts which have enrolled",
        query: "select 1;",
        platform: "",
        is_member: |_| true,
    },
    BuiltinLabel {
        name: "macOS",
        description: "All macOS hosts",
        query: "select 1 from os_version where platform = 'darwin';",
        platform: "darwin",
        is_member: |system| system.family == Family::MacOs,
    },
    BuiltinLabel {
        name: "Ubuntu Linux",
        description: "All Ubuntu hosts",
        query: "select 1 from os_version where platform = 'ubuntu';",
        platform: "ubuntu",
        is_member: |system| system.platform == "ubuntu",
    },
    BuiltinLabel {
        name: "CentOS Linux",
        description: "All CentOS hosts",
        query: "select 1 from os_version where platform = 'centos' or name like '%centos%';",
        platform: "",
        is_member: |system| system.platform == "centos" || system.has_name("centos"),
    },
    BuiltinLabel {
        name: "MS Windows",
        description: "All Windows hosts",
        query: "select 1 from os_version where platform = 'windows';",
        platform: "windows",
        is_member: |system| system.family == Family::Windows,
    },
    BuiltinLabel {
        name: "Red Hat Linux",
        description: "All Red Hat Enterprise Linux hosts",
        query: "select 1 from os_version where name like '%red hat%';",
        platform: "",
        is_member: |system| system.has_name("red hat"),
    },
    BuiltinLabel {
        name: "All Linux",
        description: "All Linux hosts",
        query: "select 1 from osquery_info where platform_mask & 8;",
        platform: "",
        is_member: |system| system.family == Family::Linux,
    },
];

/// Creates the built-in labels a database does not have yet, and corrects the queries that older versions show.
///
/// # Errors
/// When the database does not answer.
pub async fn ensure(store: &Store, now: Moment) -> Result<()> {
    let made = store
        .write(async |tx| {
            let existing = store::named::all::<labels::Entity>(tx).await?;
            let mut outdated = 0;
            for label in existing.iter().filter(|label| label.label_type == labels::LabelTypeWord::Builtin) {
                let Some(builtin) = BUILTIN.iter().find(|builtin| builtin.name == label.name) else { continue };
                if label.query != builtin.query {
                    outdated += 1;
                    let shown = labels::ActiveModel {
                        id: sea_orm::Unchanged(label.id),
                        query: Set(builtin.query.to_owned()),
                        ..Default::default()
                    };
                    store::named::update(tx, shown).await?;
                }
            }
            let missing: Vec<_> =
                BUILTIN.iter().filter(|builtin| !existing.iter().any(|label| label.name == builtin.name)).collect();
            for builtin in &missing {
                let label = labels::ActiveModel {
                    name: Set(builtin.name.to_owned()),
                    description: Set(builtin.description.to_owned()),
                    query: Set(builtin.query.to_owned()),
                    platform: Set(builtin.platform.to_owned()),
                    label_type: Set(labels::LabelTypeWord::Builtin),
                    membership_type: Set(labels::MembershipWord::Dynamic),
                    created_at: Set(now),
                    updated_at: Set(now),
                    ..Default::default()
                };
                store::named::insert(tx, label).await?;
            }
            if !missing.is_empty() || outdated > 0 {
                generations::bump(tx, generations::SCHEDULE).await?;
            }
            Ok(missing.len())
        })
        .await?;
    if made > 0 {
        tracing::debug!(labels = made, "built-in labels created");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use muster_api::osquery::HostDetails;

    use super::*;

    #[test]
    fn families_follow_the_bits_agents_send() {
        for (bits, family) in
            [("9", Family::Linux), ("21", Family::MacOs), ("2", Family::Windows), ("37", Family::Other)]
        {
            assert_eq!(Family::of(Some(bits), ""), family, "{bits}");
        }
        assert_eq!(Family::of(None, "arch"), Family::Linux);
        assert_eq!(Family::of(None, "chrome"), Family::ChromeOs);
        assert_eq!(Family::of(Some("junk"), "darwin"), Family::MacOs);
    }
    #[test]
    fn words_for_platforms_mean_what_agents_take_them_for() {
        for (word, platform, means) in [
            ("centos", "centos", true),
            ("CentOS", "centos", true),
            ("linux", "centos", true),
            ("posix", "centos", true),
            ("posix", "freebsd", true),
            ("posix", "windows", false),
            ("any", "windows", true),
            ("linux", "chrome", false),
            ("chrome", "chrome", true),
            ("rhel", "centos", false),
            ("", "centos", false),
        ] {
            assert_eq!(means_platform(word, platform), means, "{word} {platform}");
        }
    }

    /// The rules against the queries that are shown, run by SQLite on the rows that agents report.
    #[test]
    fn the_shown_queries_and_the_rules_agree() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE os_version (name, version, platform); CREATE TABLE osquery_info (platform_mask)",
        )
        .unwrap();
        for (name, version, platform, mask) in [
            ("Ubuntu", "22.04.3 LTS (Jammy Jellyfish)", "ubuntu", 9),
            ("CentOS", "CentOS release 6.9 (Final)", "rhel", 9),
            ("CentOS Linux", "7", "centos", 9),
            ("CentOS Stream", "9", "centos", 9),
            ("Fedora", "Fedora release 30 (Thirty)", "rhel", 9),
            ("Fedora Linux", "41 (Workstation Edition)", "fedora", 9),
            ("Rocky Linux", "9.5 (Blue Onyx)", "rocky", 9),
            ("Scientific Linux", "7.9 (Nitrogen)", "rhel", 9),
            ("Red Hat Enterprise Linux", "9.4 (Plow)", "rhel", 9),
            ("Red Hat Enterprise Linux Server", "6.10", "rhel", 9),
            ("macOS", "15.5", "darwin", 21),
            ("Microsoft Windows 11 Pro", "10.0.22631", "windows", 2),
            ("FreeBSD", "14.1", "freebsd", 37),
        ] {
            db.execute_batch("DELETE FROM os_version; DELETE FROM osquery_info").unwrap();
            db.execute("INSERT INTO os_version VALUES (?, ?, ?)", (name, version, platform)).unwrap();
            db.execute("INSERT INTO osquery_info VALUES (?)", [mask]).unwrap();
            let columns = [("name", name), ("version", version), ("platform", platform)];
            let columns = columns.map(|(column, text)| (column.to_owned(), text.to_owned()));
            let details = HostDetails { os_version: columns.into(), ..HostDetails::default() };
            let mut host = crate::store::entity::hosts::ActiveModel::default();
            crate::fleet::hosts::set_details(&mut host, &details);
            let (Set(platform), Set(os_version)) = (&host.platform, &host.os_version) else { panic!("{name}") };
            for bits in [Some(mask.to_string()), None] {
                let system = HostSystem { platform, os_version, family: Family::of(bits.as_deref(), platform) };
                for label in BUILTIN {
                    let shown = db.prepare(label.query).unwrap().exists([]).unwrap();
                    assert_eq!(label.has(&system), shown, "{name} {version} {platform} in {}", label.name);
                }
            }
        }
    }
}
