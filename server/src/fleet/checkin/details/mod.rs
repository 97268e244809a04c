//! The questions about a host itself, and what the answers say.

mod disk;
mod network;
mod schema;
mod statistics;
mod tables;

use muster_api::osquery::Rows;

use crate::fleet::schema::TableReport;
use crate::fleet::statistics::Sample;
use crate::store::entity::hosts::ActiveModel;

pub(super) use schema::SCHEMA;
pub(super) use statistics::STATISTICS;

/// A question about a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct DetailQuery {
    pub name: &'static str,
    pub sql: &'static str,
    platforms: Platforms,
    /// Takes from the rows what they say.
    pub fill: fn(&mut HostAnswers, Rows<'_>),
}

/// What a host says about itself.
#[derive(Debug, Default)]
pub(super) struct HostAnswers {
    /// Columns of its row.
    pub host: ActiveModel,
    /// What its scheduled queries have cost.
    pub sample: Option<Sample>,
    /// Which tables it has.
    pub tables: Option<TableReport>,
    /// What the host has called its platform before.
    pub platform: Box<str>,
}

impl DetailQuery {
    /// Whether it is asked apart from the others.
    pub(super) fn is_apart(&self) -> bool {
        self.platforms == Platforms::Apart
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platforms {
    All,
    Windows,
    NotWindows,
    /// Not asked with the others.
    Apart,
}

/// All questions about a host itself.
pub(super) const ALL: [DetailQuery; 11] = [
    tables::OSQUERY_INFO,
    tables::SYSTEM_INFO,
    tables::OS_VERSION,
    tables::OS_VERSION_WINDOWS,
    tables::OSQUERY_FLAGS,
    tables::UPTIME,
    network::NETWORK_INTERFACE,
    disk::DISK_SPACE_UNIX,
    disk::DISK_SPACE_WINDOWS,
    STATISTICS,
    SCHEMA,
];

/// The questions for hosts of a platform. A query on a table that the platform lacks would only fill the agent's log.
pub(super) fn for_platform(platform: &str) -> impl Iterator<Item = &'static DetailQuery> {
    let is_windows = platform == "windows";
    ALL.iter().filter(move |query| match query.platforms {
        Platforms::All => true,
        Platforms::Windows => is_windows,
        Platforms::NotWindows => !is_windows,
        Platforms::Apart => false,
    })
}

pub(super) fn named(name: &str) -> Option<&'static DetailQuery> {
    ALL.iter().find(|query| query.name == name)
}
