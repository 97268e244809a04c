//! Restarts of workers, each noted once: a sample shows one, an agent says so in its log, or both.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Moment;
use crate::store::entity::worker_restarts::Model;
use crate::store::statistics::events;
use crate::store::{self, Tx};

/// Seconds by which the start of a worker may differ between what a sample shows and what an agent says: the agent says it
/// when it has loaded its config. Workers that were started closer together count as one.
const SAME_START: u64 = 300;

/// Most queries that are named with a restart.
const MAX_SUSPECTS: usize = 32;

/// What is known of some hosts' restarts, and what is new.
#[derive(Debug, Default)]
pub(super) struct NotedRestarts {
    by_host: BTreeMap<i64, Vec<Model>>,
    /// Rows that are known and have changed.
    changed: BTreeSet<i64>,
}

impl NotedRestarts {
    /// Reads what was seen of these hosts since a moment. Their last samples must be locked, so that nobody notes the same.
    pub async fn read(tx: &Tx, host_ids: &[i64], since: Moment) -> store::Result<Self> {
        let mut restarts = Self::default();
        for row in events::restarts_since(tx, host_ids, since).await? {
            restarts.by_host.entry(row.host_id).or_default().push(row);
        }
        Ok(restarts)
    }

    /// Adds one. Returns `false` if it was known; then what is new of it is added to what is known.
    pub fn add(&mut self, restart: Model) -> bool {
        let of_host = self.by_host.entry(restart.host_id).or_default();
        let is_same = |known: &&mut Model| is_same(known, &restart);
        let Some(known) = of_host.iter_mut().find(is_same) else {
            of_host.push(restart);
            return true;
        };
        let merged = Model {
            is_upgrade: known.is_upgrade || restart.is_upgrade,
            is_reported: known.is_reported || restart.is_reported,
            suspects: suspects(suspects_of(known).into_iter().chain(suspects_of(&restart))),
            ..known.clone()
        };
        if *known != merged {
            *known = merged;
            // A new one has no id yet and is added as a whole.
            if known.id != 0 {
                self.changed.insert(known.id);
            }
        }
        false
    }

    /// How many of a host were seen after a moment.
    pub fn seen_after(&self, host_id: i64, moment: Moment) -> usize {
        self.by_host.get(&host_id).map_or(0, |rows| rows.iter().filter(|row| row.seen_at > moment).count())
    }

    /// Writes what is new.
    pub async fn write(self, tx: &Tx) -> store::Result<()> {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for row in self.by_host.into_values().flatten() {
            match row.id {
                0 => new.push(row),
                id if self.changed.contains(&id) => changed.push(row),
                _ => {}
            }
        }
        events::restarted(tx, new).await?;
        events::change_restarts(tx, changed).await
    }
}

/// Two samples that show a restart show two.
fn is_same(one: &Model, other: &Model) -> bool {
    (one.is_reported || other.is_reported)
        && one.started_at > 0
        && other.started_at > 0
        && one.started_at.abs_diff(other.started_at) <= SAME_START
}

/// The queries that are named with a restart, as pairs of pack and name.
pub(super) fn suspects_of(restart: &Model) -> BTreeSet<[String; 2]> {
    serde_json::from_str(&restart.suspects).unwrap_or_default()
}

/// Queries as they are kept with a restart.
pub(super) fn suspects(all: impl IntoIterator<Item = [String; 2]>) -> String {
    let all: BTreeSet<[String; 2]> = all.into_iter().take(MAX_SUSPECTS).collect();
    serde_json::to_string(&all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restart(started_at: i64, is_reported: bool, names: &[&str]) -> Model {
        let suspects = suspects(names.iter().map(|name| ["base".to_owned(), (*name).to_owned()]));
        let seen_at = Moment::NEVER.plus_seconds(started_at + 60);
        Model { id: 0, host_id: 7, seen_at, started_at, is_upgrade: false, is_reported, suspects }
    }

    #[test]
    fn a_restart_that_is_seen_twice_is_one() {
        let mut restarts = NotedRestarts::default();
        assert!(restarts.add(restart(10_000, true, &["a"])));
        assert!(!restarts.add(restart(10_000, true, &["a"])), "the line came again");
        assert!(!restarts.add(restart(9_990, false, &["b"])), "a sample shows it");
        assert!(restarts.add(restart(20_000, false, &[])));
        for _ in 0..2 {
            assert!(restarts.add(Model { host_id: 8, ..restart(0, false, &[]) }), "by a clock that says nothing");
        }
        let rows = &restarts.by_host[&7];
        assert_eq!((rows.len(), rows[0].started_at, rows[0].is_reported), (2, 10_000, true));
        assert_eq!(rows[0].suspects, r#"[["base","a"],["base","b"]]"#);
        assert_eq!(restarts.seen_after(7, Moment::NEVER.plus_seconds(10_060)), 1);
        assert!(restarts.changed.is_empty(), "both are new");
    }

    #[test]
    fn a_known_one_is_written_again_only_if_it_has_changed() {
        let mut restarts = NotedRestarts::default();
        let known = Model { id: 3, ..restart(10_000, true, &["a"]) };
        restarts.by_host.insert(7, vec![known]);
        assert!(!restarts.add(restart(10_000, false, &["a"])));
        assert!(restarts.changed.is_empty());
        assert!(!restarts.add(restart(10_200, true, &["b"])));
        assert_eq!(restarts.changed, BTreeSet::from([3]));
    }

    #[test]
    fn names_of_one_restart_are_bounded() {
        let names: Vec<String> = (0..100).map(|number| format!("q{number}")).collect();
        let many = restart(1, false, &names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(suspects_of(&many).len(), MAX_SUSPECTS);
    }
}
