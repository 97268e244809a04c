use std::collections::BTreeMap;
use std::sync::Arc;

use super::Directory;
use super::states::SlotsSeen;
use super::targets::OnlineTally;
use crate::clock::Moment;
use crate::fleet::Result;

/// All hosts, counted by what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    pub states: OnlineTally,
    pub platforms: BTreeMap<String, u64>,
    /// By version of the agent.
    pub versions: BTreeMap<String, u64>,
}

impl Directory {
    /// Counts all hosts.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn census(self: &Arc<Self>, now: Moment) -> Result<Census> {
        self.read(move |tables, seen| {
            let states = SlotsSeen::of(tables, seen, now).tally(&tables.hosts);
            let mut census = Census { states, ..Census::default() };
            for (platform, version, hosts) in tables.platforms_and_versions() {
                *census.platforms.entry(platform.to_owned()).or_default() += hosts;
                *census.versions.entry(version.to_owned()).or_default() += hosts;
            }
            census
        })
        .await
    }
}
