use std::collections::BTreeSet;

use muster_api::rest::AgentConfig;

use super::may_explain;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::hosts::{Assignment, Family, HostSystem};
use crate::fleet::{Error, Fleet, Result};

impl Fleet {
    /// The config of hosts of a platform that are in these labels, and in the built-in ones that follow from the platform.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read hosts, labels, packs and the configuration,
    /// [`Error::NotFound`] for a label that does not exist, [`Error::Unavailable`] if the config is too large for agents.
    pub fn config_of_labels(&self, principal: &Principal, platform: &str, label_ids: &[i64]) -> Result<AgentConfig> {
        may_explain(principal)?;
        principal.may(Permission::ReadLabels)?;
        let plan = self.schedule.plan();
        let gone = label_ids.iter().find(|id| plan.label_name(**id).is_none());
        if let Some(id) = gone {
            return Err(Error::NotFound { kind: "label", key: id.to_string() });
        }
        let system = HostSystem { platform, os_version: "", family: Family::of(None, platform) };
        let follow = plan.builtin_labels().iter().filter(|(_, label)| label.has(&system)).map(|(id, _)| *id);
        let ids: BTreeSet<i64> = label_ids.iter().copied().chain(follow).collect();
        let labels = ids.iter().filter_map(|id| plan.label_name(*id)).map(str::to_owned).collect();
        let label_ids = ids.into_iter().collect::<Vec<_>>().into();
        let assignment = Assignment { platform: platform.into(), label_ids, ..Assignment::default() };
        let bytes = self.schedule.look_up(&plan, &assignment, None)?;
        let config = serde_json::from_slice(&bytes).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(AgentConfig { platform: platform.to_owned(), labels, config })
    }
}
