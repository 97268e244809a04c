//! The leader's part: it picks the hosts that are asked for their tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::{AgentGroup, AgentSchemas, MAX_GROUPS, MAX_REPORTS};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::AskableHost;
use crate::store;
use crate::store::entity::schema_reports::Model;

/// Hosts at different addresses that are to report in an interval, of each agent group: enough for 3 to agree although some
/// lie, or have tables of their own.
const WANTED: usize = 5;

/// Most picks of an agent group in an interval, those included that are not answered.
const MAX_PICKS: i64 = 15;

/// Most picks of a host in an interval that it does not answer.
const MAX_PICKS_OF_HOST: i64 = 3;

/// Time within which a host that was picked has to report. An online host asks for work every minute or so.
pub(super) const OPEN_FOR: Duration = Duration::from_secs(15 * 60);

/// Most hosts that are picked in one go. The next one goes on.
const PICKED_AT_ONCE: usize = 200;

/// Most hosts that are picked in [`PICKED_FOR`], so that hosts that change their versions all the time fill no database.
const MAX_PICKED: usize = 500;

/// Time within which a host is picked once, of whatever version it says to be.
const PICKED_FOR: Duration = Duration::from_secs(3600);

/// Online hosts of an agent group that are looked at when some are picked.
const LOOKED_AT: usize = 64;

/// Whether a host that was picked may still report.
pub(super) fn is_open(pick: &Model, now: Moment) -> bool {
    pick.reported_at < pick.picked_at && pick.picked_at.plus(OPEN_FOR) > now
}

/// What is known of an agent group when hosts of it are picked.
#[derive(Debug, Default)]
struct PickedOfGroup<'a> {
    /// Addresses of hosts that have reported in this interval or may still.
    addresses: HashSet<&'a str>,
    picks: i64,
}

/// How many hosts are to be picked, by agent group.
fn wanted(
    groups: &BTreeMap<AgentGroup, u64>,
    known: &[Model],
    now: Moment,
    since: Moment,
) -> HashMap<AgentGroup, usize> {
    let mut picked: HashMap<AgentGroup, PickedOfGroup<'_>> = HashMap::new();
    for pick in known.iter().filter(|pick| pick.picked_at > since) {
        let Some(group) = AgentGroup::of(&pick.platform, &pick.version) else { continue };
        let of_group = picked.entry(group).or_default();
        of_group.picks += pick.picks.max(1);
        if pick.reported_at >= pick.picked_at || is_open(pick, now) {
            of_group.addresses.insert(&pick.address);
        }
    }
    let mut largest: Vec<(&AgentGroup, u64)> = groups.iter().map(|(group, hosts)| (group, *hosts)).collect();
    largest.sort_by(|(one, hosts), (other, others)| others.cmp(hosts).then_with(|| one.cmp(other)));
    let missing = largest.into_iter().take(MAX_GROUPS).filter_map(|(group, hosts)| {
        let (answering, left) = match picked.get(group) {
            Some(picked) => (picked.addresses.len(), MAX_PICKS - picked.picks),
            None => (0, MAX_PICKS),
        };
        let wanted = WANTED.min(usize::try_from(hosts).unwrap_or(usize::MAX)).saturating_sub(answering);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(0));
        (wanted > 0).then(|| (group.clone(), wanted))
    });
    missing.collect()
}

impl AgentSchemas {
    /// Picks hosts of agent groups of which too few have reported in this interval.
    ///
    /// # Errors
    /// When the directory is not loaded yet, or the database does not answer.
    pub async fn pick(&self) -> Result<()> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let now = self.clock.now();
        let since = now.minus(self.interval);
        let groups = self.groups().await?;
        let known = store::schema::reports(self.store.reader(), MAX_REPORTS).await?;
        let mut wanted = wanted(&groups, &known, now, since);
        if wanted.is_empty() || known.len() as u64 >= MAX_REPORTS {
            return Ok(());
        }
        let was_lately = |pick: &Model| pick.picked_at.plus(PICKED_FOR) > now;
        let room = MAX_PICKED.saturating_sub(known.iter().filter(|pick| was_lately(pick)).count()).min(PICKED_AT_ONCE);
        let by_host: HashMap<i64, &Model> = known.iter().map(|pick| (pick.host_id, pick)).collect();
        // One that has another version by now can be picked again.
        let (mut left_out, mut taken) = (HashMap::new(), HashSet::new());
        for pick in known.iter().filter(|pick| pick.picked_at > since) {
            let Some(group) = AgentGroup::of(&pick.platform, &pick.version) else { continue };
            let is_taken = pick.reported_at >= pick.picked_at || is_open(pick, now);
            if is_taken {
                taken.insert((group.clone(), pick.address.clone()));
            }
            if is_taken || pick.picks >= MAX_PICKS_OF_HOST {
                left_out.insert(pick.host_id, group);
            }
        }
        let askable = self.hosts.askable(wanted.keys().cloned().collect(), left_out, LOOKED_AT).await?;
        let mut picked = Vec::new();
        let is_new = |id: i64| {
            !by_host
                .get(&id)
                .is_some_and(|pick| was_lately(pick) && (pick.reported_at >= pick.picked_at || is_open(pick, now)))
        };
        for AskableHost { group, id, address } in askable.into_iter().filter(|host| is_new(host.id)) {
            let Some(left) = wanted.get_mut(&group).filter(|left| **left > 0) else { continue };
            if picked.len() >= room || !taken.insert((group.clone(), address.clone())) {
                continue;
            }
            *left -= 1;
            picked.push(picked_host(by_host.get(&id).copied(), group, id, address, now, since));
        }
        if picked.is_empty() {
            return Ok(());
        }
        // In one order, so that two transactions never wait for each other.
        picked.sort_by_key(|pick| pick.host_id);
        self.store.write(async |tx| store::schema::pick(tx, picked.clone()).await).await?;
        self.metrics.schema_reports("picked", picked.len() as u64);
        Ok(())
    }

    /// The agent groups of the fleet, and how many hosts are in each.
    pub(super) async fn groups(&self) -> Result<BTreeMap<AgentGroup, u64>> {
        let mut groups = BTreeMap::new();
        for (platform, version, hosts) in self.hosts.directory.platforms_and_versions().await? {
            if let Some(group) = AgentGroup::of(&platform, &version) {
                *groups.entry(group).or_default() += hosts;
            }
        }
        Ok(groups)
    }
}

/// The row of a host that is picked now. What it has reported before stays, if it was of the same group.
fn picked_host(
    before: Option<&Model>,
    group: AgentGroup,
    host_id: i64,
    address: String,
    now: Moment,
    since: Moment,
) -> Model {
    let AgentGroup { platform, version } = group;
    let version = version.to_string();
    let same = before.filter(|before| before.platform == platform && before.version == version);
    let in_a_row = before.filter(|before| before.picked_at > since && before.reported_at < before.picked_at);
    Model {
        host_id,
        picks: in_a_row.map_or(0, |before| before.picks) + 1,
        picked_at: now,
        asked_at: before.map_or(Moment::NEVER, |before| before.asked_at.min(now.plus_seconds(-1))),
        reported_at: same.map_or(Moment::NEVER, |same| same.reported_at),
        set_hash: same.and_then(|same| same.set_hash.clone()),
        platform,
        version,
        address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_600_000_000_000_000);

    fn group(platform: &str) -> AgentGroup {
        AgentGroup::of(platform, "5.23.1").unwrap()
    }

    fn pick(host_id: i64, picks: i64, picked_before: i64, has_reported: bool) -> Model {
        let picked_at = NOW.plus_seconds(-picked_before);
        let row = picked_host(None, group("ubuntu"), host_id, format!("192.0.2.{host_id}"), picked_at, NOW);
        Model { picks, reported_at: if has_reported { picked_at } else { Moment::NEVER }, ..row }
    }

    fn wanted_of(hosts: u64, known: &[Model]) -> usize {
        let groups = BTreeMap::from([(group("ubuntu"), hosts)]);
        let since = NOW.plus_seconds(-7 * 24 * 3600);
        wanted(&groups, known, NOW, since).get(&group("ubuntu")).copied().unwrap_or(0)
    }

    #[test]
    fn so_many_hosts_are_picked_as_are_missing() {
        assert_eq!(wanted_of(500_000, &[]), WANTED);
        assert_eq!(wanted_of(2, &[]), 2);
        assert_eq!(
            wanted_of(9, &[pick(1, 1, 60, true), pick(2, 1, 60, false)]),
            3,
            "one has reported, and one may still"
        );
        assert_eq!(wanted_of(9, &[pick(1, 1, 3600, false)]), 5, "one has not reported in time");
        assert_eq!(wanted_of(9, &[pick(1, 1, 8 * 24 * 3600, true)]), 5, "too long ago");
        let same_address = |id| Model { address: "192.0.2.1".to_owned(), ..pick(id, 1, 60, true) };
        assert_eq!(wanted_of(9, &[same_address(1), same_address(2)]), 4, "they count as one");
    }

    #[test]
    fn hosts_that_do_not_answer_are_not_picked_for_ever() {
        let silent: Vec<Model> = (1..=15).map(|id| pick(id, 1, 3600, false)).collect();
        assert_eq!((wanted_of(500_000, &silent), wanted_of(500_000, &silent[..13])), (0, 2));
        assert_eq!(wanted_of(1, &[pick(1, 15, 3600, false)]), 0);
    }

    #[test]
    fn the_largest_groups_are_asked() {
        let groups: BTreeMap<AgentGroup, u64> = (0..500).map(|n| (group(&format!("made up {n:03}")), n + 1)).collect();
        let wanted = wanted(&groups, &[], NOW, Moment::NEVER);
        assert_eq!(wanted.len(), MAX_GROUPS);
        assert!(wanted.contains_key(&group("made up 499")) && !wanted.contains_key(&group("made up 000")));
    }
}
