//! The questions about a host itself, and how the answers fill its row.

mod disk;
mod network;
mod tables;

use muster_api::osquery::Rows;

use crate::store::entity::hosts::ActiveModel;

/// A question about a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct DetailQuery {
    pub name: &'static str,
    pub sql: &'static str,
    platforms: Platforms,
    /// Fills columns of the host from the rows.
    pub fill: fn(&mut ActiveModel, Rows<'_>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platforms {
    All,
    Windows,
    NotWindows,
}

/// All questions about a host itself.
pub(super) const ALL: [DetailQuery; 9] = [
    tables::OSQUERY_INFO,
    tables::SYSTEM_INFO,
    tables::OS_VERSION,
    tables::OS_VERSION_WINDOWS,
    tables::OSQUERY_FLAGS,
    tables::UPTIME,
    network::NETWORK_INTERFACE,
    disk::DISK_SPACE_UNIX,
    disk::DISK_SPACE_WINDOWS,
];

/// The questions for hosts of a platform. A query on a table that the platform lacks would only fill the agent's log.
pub(super) fn for_platform(platform: &str) -> impl Iterator<Item = &'static DetailQuery> {
    let is_windows = platform == "windows";
    ALL.iter().filter(move |query| match query.platforms {
        Platforms::All => true,
        Platforms::Windows => is_windows,
        Platforms::NotWindows => !is_windows,
    })
}

pub(super) fn named(name: &str) -> Option<&'static DetailQuery> {
    ALL.iter().find(|query| query.name == name)
}
