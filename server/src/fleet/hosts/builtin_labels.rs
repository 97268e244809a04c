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
    /// Shown to operators; membership follows from what a host says of its platform.
    pub query: &'static str,
    pub platform: &'static str,
    is_member: fn(&str, Family) -> bool,
}

impl BuiltinLabel {
    /// Whether a host with this `os_version.platform` is in it.
    pub fn has(&self, platform: &str, family: Family) -> bool {
        (self.is_member)(platform, family)
    }
}

/// What kind of system a host runs, by the bits agents enroll with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Linux,
    MacOs,
    Windows,
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
            "" | "freebsd" | "openbsd" | "netbsd" => Self::Other,
            _ => Self::Linux,
        }
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
        is_member: |_, _| true,
    },
    BuiltinLabel {
        name: "macOS",
        description: "All macOS hosts",
        query: "select 1 from os_version where platform = 'darwin';",
        platform: "darwin",
        is_member: |_, family| family == Family::MacOs,
    },
    BuiltinLabel {
        name: "Ubuntu Linux",
        description: "All Ubuntu hosts",
        query: "select 1 from os_version where platform = 'ubuntu';",
        platform: "ubuntu",
        is_member: |platform, _| platform == "ubuntu",
    },
    BuiltinLabel {
        name: "CentOS Linux",
        description: "All CentOS hosts",
        query: "select 1 from os_version where platform = 'centos' or name like '%centos%';",
        platform: "",
        is_member: |platform, _| platform == "centos",
    },
    BuiltinLabel {
        name: "MS Windows",
        description: "All Windows hosts",
        query: "select 1 from os_version where platform = 'windows';",
        platform: "windows",
        is_member: |_, family| family == Family::Windows,
    },
    BuiltinLabel {
        name: "Red Hat Linux",
        description: "All Red Hat Enterprise Linux hosts",
        query: "select 1 from os_version where platform = 'rhel';",
        platform: "",
        is_member: |platform, _| platform == "rhel",
    },
    BuiltinLabel {
        name: "All Linux",
        description: "All Linux hosts",
        query: "select 1 from osquery_info where build_platform like '%linux%' or build_distro like '%linux%';",
        platform: "",
        is_member: |_, family| family == Family::Linux,
    },
];

/// Creates the built-in labels a database does not have yet.
///
/// # Errors
/// When the database does not answer.
pub async fn ensure(store: &Store, now: Moment) -> Result<()> {
    let made = store
        .write(async |tx| {
            let existing = store::named::all::<labels::Entity>(tx).await?;
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
            if !missing.is_empty() {
                generations::bump(tx, generations::SCHEDULE).await?;
            }
            Ok(missing.len())
        })
        .await?;
    if made > 0 {
        tracing::info!(labels = made, "built-in labels created");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_follow_the_bits_agents_send() {
        for (bits, family) in
            [("9", Family::Linux), ("21", Family::MacOs), ("2", Family::Windows), ("37", Family::Other)]
        {
            assert_eq!(Family::of(Some(bits), ""), family, "{bits}");
        }
        assert_eq!(Family::of(None, "arch"), Family::Linux);
        assert_eq!(Family::of(Some("junk"), "darwin"), Family::MacOs);
    }
}
