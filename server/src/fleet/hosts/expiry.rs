//! Hosts that expire: those that have not called for as long as operators say (`host_expiry_settings`), and those that have
//! enrolled and never told anything of themselves. The leader deletes them.
//!
//! Whether a host has called is decided by what all nodes know of it, and again in the transaction of each batch. After its start a node
//! expires nothing for an hour: when no server has been there for long, hosts get time to call.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Hosts;
use super::delete::{DELETED_AT_ONCE, StillSo};
use super::directory::HostPick;
use super::list::{HostFilter, HostState};
use crate::clock::Moment;
use crate::fleet::{Error, Result};
use crate::store::activities::Actor;
use crate::store::{self, case, settings};

/// The part of the configuration that says when hosts expire.
pub const HOST_EXPIRY: &str = "host_expiry_settings";

/// After its start a node expires nothing for so long.
const AFTER_START: Duration = Duration::from_secs(3600);

/// A host that has told nothing of itself goes when it has not called for so long.
const UNNAMED_FOR: Duration = Duration::from_secs(300);

/// Most batches of one run; the next run goes on.
const MOST_BATCHES: usize = 100;

/// When hosts expire, as it stands in the configuration. Fleet has the first two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostExpiry {
    pub host_expiry_enabled: bool,
    /// Days without a call.
    pub host_expiry_window: u32,
    /// Hours on top of these days.
    pub host_expiry_hours: u32,
    /// Windows of hosts in labels, instead of the one of all hosts.
    pub host_expiry_labels: Vec<LabelExpiry>,
}

/// The window of the hosts in a label. Of several labels the shortest counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelExpiry {
    /// Name of the label. While there is none of this name, nothing expires by it, nor by the window of all hosts.
    pub label: String,
    pub days: u32,
    pub hours: u32,
}

/// Days and hours as one time; `None` for no time.
fn window(days: u32, hours: u32) -> Option<Duration> {
    let hours = u64::from(days) * 24 + u64::from(hours);
    (hours > 0).then(|| Duration::from_secs(hours * 3600))
}

impl LabelExpiry {
    /// Time without a call after which these hosts expire.
    pub fn window(&self) -> Option<Duration> {
        window(self.days, self.hours)
    }
}

impl HostExpiry {
    /// What a stored configuration says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(config: &Value) -> Result<Self> {
        match config.get(HOST_EXPIRY) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(part) => Self::deserialize(part).map_err(|error| Error::Internal(Box::new(error))),
        }
    }

    /// Time without a call after which hosts expire that are in none of the labels.
    pub fn window(&self) -> Option<Duration> {
        window(self.host_expiry_window, self.host_expiry_hours)
    }
}

/// Which hosts go, and what is said of it.
struct ExpiryRule {
    kind: &'static str,
    why: Map<String, Value>,
    filter: HostFilter,
    silent_for: Duration,
}

impl ExpiryRule {
    fn expired(label: Option<&str>, filter: HostFilter, silent_for: Duration) -> Self {
        let mut why = Map::new();
        why.insert("hours_without_a_call".to_owned(), json!(silent_for.as_secs() / 3600));
        if let Some(label) = label {
            why.insert("label".to_owned(), json!(label));
        }
        Self { kind: "expired_hosts", why, filter, silent_for }
    }

    fn unnamed() -> Self {
        let filter = HostFilter { is_unnamed: true, state: Some(HostState::Offline), ..HostFilter::default() };
        Self { kind: "removed_unnamed_hosts", why: Map::new(), filter, silent_for: UNNAMED_FOR }
    }

    /// The next hosts that go.
    fn pick(&self, now: Moment) -> HostPick {
        let silent_since = Some(now.minus(self.silent_for));
        HostPick::new(HostFilter { silent_since, limit: Some(DELETED_AT_ONCE as u64), ..self.filter.clone() }, now)
    }
}

impl Hosts {
    /// Deletes the hosts that have expired, and writes what it has deleted into the activities and the log. For the leader.
    ///
    /// # Errors
    /// When the directory is not loaded yet, or the database does not answer; the next call goes on.
    pub async fn expire(&self) -> Result<()> {
        if self.clock.now().since(self.started_at) < AFTER_START {
            return Ok(());
        }
        let mut left = MOST_BATCHES;
        for rule in self.expiry_rules().await? {
            let mut deleted = 0;
            let outcome = self.expire_by(&rule, &mut left, &mut deleted).await;
            if deleted > 0 {
                let why = Value::from(rule.why);
                tracing::info!(kind = rule.kind, hosts = deleted, %why, "hosts that no longer call were deleted");
            }
            outcome?;
        }
        Ok(())
    }

    async fn expire_by(&self, rule: &ExpiryRule, left: &mut usize, deleted: &mut u64) -> Result<()> {
        while *left > 0 && self.node.is_leader() {
            *left -= 1;
            let pick = rule.pick(self.clock.now());
            let still = StillSo { state: pick.filter.state, silent_since: pick.filter.silent_since };
            let picked = self.directory.pick(pick).await?;
            let ids: Vec<i64> = picked.iter().map(|host| host.id).collect();
            let gone = match ids.is_empty() {
                true => 0,
                false => self.delete_batch(&Actor::default(), rule.kind, &rule.why, &ids, still).await?.len(),
            };
            *deleted += gone as u64;
            // Hosts that the database does not have are found out elsewhere; those that called are not picked again.
            if gone == 0 || ids.len() < DELETED_AT_ONCE {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn expiry_rules(&self) -> Result<Vec<ExpiryRule>> {
        let mut rules = vec![ExpiryRule::unnamed()];
        let config = settings::get(self.store.reader(), settings::APP_CONFIG).await?.unwrap_or_default();
        let expiry = HostExpiry::of(&config)?;
        if !expiry.host_expiry_enabled {
            return Ok(rules);
        }
        let (mut without_labels, mut are_all_there) = (Vec::new(), true);
        let ids = match expiry.host_expiry_labels.is_empty() {
            true => HashMap::new(),
            false => self.label_ids_by_name().await?,
        };
        for label in &expiry.host_expiry_labels {
            let (Some(silent_for), Some(id)) = (label.window(), ids.get(&case::fold(&label.label))) else {
                tracing::warn!(
                    label = label.label,
                    "host_expiry_labels names a label that is gone: until it is mended no host expires by the window of all hosts"
                );
                are_all_there = false;
                continue;
            };
            without_labels.push(*id);
            let filter = HostFilter { label_id: Some(*id), ..HostFilter::default() };
            rules.push(ExpiryRule::expired(Some(&label.label), filter, silent_for));
        }
        // Hosts of a label that was renamed must not fall to a shorter window by that.
        if let Some(silent_for) = expiry.window().filter(|_| are_all_there) {
            let filter = HostFilter { without_labels, ..HostFilter::default() };
            rules.push(ExpiryRule::expired(None, filter, silent_for));
        }
        Ok(rules)
    }

    async fn label_ids_by_name(&self) -> Result<HashMap<String, i64>> {
        let labels = store::named::all::<store::entity::labels::Entity>(self.store.reader()).await?;
        Ok(labels.into_iter().map(|label| (case::fold(&label.name), label.id)).collect())
    }
}
