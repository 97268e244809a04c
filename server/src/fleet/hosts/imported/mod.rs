//! Hosts that come from Fleet, with the keys their agents have there, so that agents go on without enrolling.
//!
//! Of each thing that both servers know the later one counts: details, labels and keys. An agent that has enrolled here after
//! it enrolled at Fleet shows the key it got here, and keeps it; the other way round it gets the one of Fleet, and keys that
//! are older and were never shown here go.

mod row;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::DbErr;
use serde::Serialize;

use super::builtin_labels::{BuiltinLabel, Family, HostSystem};
use super::identity::MAX_IDENTIFIER;
use super::{Assignment, NodeKey};
use crate::clock::Moment;
use crate::store::entity::{hosts, node_keys};
use crate::store::feed::{self, HostChangeKind};
use crate::store::import_fleet::{FleetHost, FleetHostPage};
use crate::store::node_keys::KeyHash;
use crate::store::{self, Error, Result, case, enrollments};

/// Most hosts of a kind that are named.
const NAMED: usize = 20;

/// Most assignments that are noted.
const MAX_ASSIGNMENTS: usize = 20_000;

/// What hosts of Fleet are read with.
#[derive(Debug)]
pub(in crate::fleet) struct HostImport {
    /// Labels of this server by those of Fleet: those whose members come along.
    pub labels: HashMap<i64, ImportedLabel>,
    pub builtin: Vec<(i64, BuiltinLabel)>,
    /// When a label of Fleet was last changed.
    pub newest_label: Moment,
    pub now: Moment,
}

/// A label whose members come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fleet) struct ImportedLabel {
    pub id: i64,
    pub is_manual: bool,
    /// Nobody here has changed it since it came, so hosts also leave it.
    pub is_as_imported: bool,
}

/// How many hosts came, and what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(in crate::fleet) struct HostTally {
    pub read: u64,
    pub created: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// Keys with which agents go on.
    pub keys_added: u64,
    /// Keys that Fleet had replaced, and nobody had shown here.
    pub keys_dropped: u64,
    /// Hosts that have enrolled here since: their newer keys stay.
    pub newer_here: u64,
    /// Their keys belong to hosts that go by other identifiers here.
    pub elsewhere: u64,
    /// Hosts without a key of osquery: their agents enroll when they come.
    pub without_key: u64,
    pub without_identifier: u64,
    pub too_long: u64,
    pub in_teams: u64,
    /// Identifiers of some of those that keep newer keys, and of those that do not come.
    pub named: BTreeMap<&'static str, Vec<String>>,
    #[serde(skip)]
    pub assignments: HashSet<Assignment>,
}

impl HostTally {
    fn name(&mut self, why: &'static str, identifier: &str) {
        let named = self.named.entry(why).or_default();
        if named.len() < NAMED {
            named.push(identifier.to_owned());
        }
    }

    /// Adds what became of more hosts.
    pub fn add(&mut self, other: Self) {
        self.read += other.read;
        self.created += other.created;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.keys_added += other.keys_added;
        self.keys_dropped += other.keys_dropped;
        self.newer_here += other.newer_here;
        self.elsewhere += other.elsewhere;
        self.without_key += other.without_key;
        self.without_identifier += other.without_identifier;
        self.too_long += other.too_long;
        self.in_teams += other.in_teams;
        for (why, identifiers) in other.named {
            identifiers.iter().for_each(|identifier| self.name(why, identifier));
        }
        let room = MAX_ASSIGNMENTS.saturating_sub(self.assignments.len());
        self.assignments.extend(other.assignments.into_iter().take(room));
    }
}

/// A host on its way.
struct ComingHost<'a> {
    identifier: &'a str,
    hash: KeyHash,
    fleet: &'a FleetHost,
    /// Labels of Fleet.
    labels: &'a [i64],
}

/// What is written of a host.
struct WrittenHost {
    row: hosts::Model,
    is_new: bool,
    labels_before: BTreeSet<i64>,
    labels: BTreeSet<i64>,
    added_key: Option<node_keys::Model>,
    dropped_keys: Vec<Vec<u8>>,
}

impl HostImport {
    /// Writes hosts in this transaction, which is to be one of [`store::Store::write_beside`].
    ///
    /// # Errors
    /// When the database does not answer, or somebody else holds one of the rows.
    pub async fn write(&self, tx: &store::Tx, page: &FleetHostPage) -> Result<HostTally> {
        let mut tally = HostTally { read: page.hosts.len() as u64, ..HostTally::default() };
        let coming = coming(page, &mut tally);
        let folded: BTreeSet<String> = coming.iter().map(|host| case::fold(host.identifier)).collect();
        let locked = enrollments::locked_by_identifiers(tx, &folded).await?;
        if !locked.held.is_empty() {
            // Tried again by whoever runs the transaction.
            return Err(Error::Busy(DbErr::RecordNotUpdated));
        }
        let hashes: Vec<KeyHash> = coming.iter().map(|host| host.hash).collect();
        let owners = store::node_keys::owners(tx, &hashes).await?;
        let ids: BTreeSet<i64> = locked.rows.iter().map(|row| row.id).collect();
        let keys = store::node_keys::of_hosts(tx, &ids.iter().copied().collect::<Vec<_>>()).await?;
        let labels = enrollments::labels_of(tx, &ids).await?;
        let mut there: BTreeMap<String, Vec<hosts::Model>> = BTreeMap::new();
        for row in locked.rows {
            there.entry(case::fold(&row.identifier)).or_default().push(row);
        }

        let mut written = Vec::new();
        for host in &coming {
            let same = there.get(&case::fold(host.identifier)).map_or(&[][..], Vec::as_slice);
            let found = case::position(same.iter().map(|row| row.identifier.as_str()), host.identifier);
            let found = found.map(|at| &same[at]);
            let owner = owners.get(&host.hash);
            if owner.is_some_and(|owner| found.is_none_or(|row| row.id != *owner)) {
                tally.elsewhere += 1;
                tally.name("elsewhere", host.identifier);
                continue;
            }
            let of_row = |row: &hosts::Model| labels.get(&row.id).map_or(&[][..], Vec::as_slice);
            let one = match found {
                None => self.new_host(host),
                Some(row) => {
                    let keys = keys.get(&row.id).map_or(&[][..], Vec::as_slice);
                    self.known_host(host, row, of_row(row), owner.is_none().then_some(keys), &mut tally)
                }
            };
            tally.assignments.insert(Assignment {
                platform: one.row.platform.as_str().into(),
                label_ids: one.labels.iter().copied().collect(),
                ..Assignment::default()
            });
            tally.keys_added += u64::from(one.added_key.is_some());
            tally.keys_dropped += one.dropped_keys.len() as u64;
            let is_same = found.is_some_and(|row| *row == one.row)
                && one.labels == one.labels_before
                && one.added_key.is_none()
                && one.dropped_keys.is_empty();
            match (is_same, one.is_new) {
                (true, _) => tally.unchanged += 1,
                (false, true) => tally.created += 1,
                (false, false) => tally.changed += 1,
            }
            if !is_same {
                written.push(one);
            }
        }
        self.write_all(tx, written).await?;
        Ok(tally)
    }

    fn new_host(&self, host: &ComingHost<'_>) -> WrittenHost {
        let mut row = row::new(host.identifier, host.fleet, self.now);
        row.updated_at = self.now;
        row.label_updated_at = self.labels_known_at(host.fleet);
        let mut labels = BTreeSet::new();
        self.put_builtin(&row, &mut labels);
        labels.extend(self.of_fleet(host).map(|label| label.id));
        let added_key = Some(self.key(host, 0));
        WrittenHost { row, is_new: true, labels_before: BTreeSet::new(), labels, added_key, dropped_keys: Vec::new() }
    }

    /// A host that is there; with its keys if it does not have the one of Fleet.
    fn known_host(
        &self,
        host: &ComingHost<'_>,
        known: &hosts::Model,
        label_ids: &[i64],
        other_keys: Option<&[node_keys::Model]>,
        tally: &mut HostTally,
    ) -> WrittenHost {
        let mut row = known.clone();
        let labels_before: BTreeSet<i64> = label_ids.iter().copied().collect();
        let mut labels = labels_before.clone();
        if row::moment(host.fleet.detail_updated_at) > row.detail_updated_at {
            row::put_details(&mut row, host.fleet);
            self.put_builtin(&row, &mut labels);
        }
        let is_later = row::moment(host.fleet.label_updated_at) > row.label_updated_at;
        let of_fleet: BTreeSet<i64> = self.of_fleet(host).map(|label| label.id).collect();
        for label in self.labels.values() {
            let may_leave = if label.is_manual { label.is_as_imported } else { is_later };
            if of_fleet.contains(&label.id) && (label.is_manual || is_later) {
                labels.insert(label.id);
            } else if may_leave && !of_fleet.contains(&label.id) {
                labels.remove(&label.id);
            }
        }
        if is_later {
            row.label_updated_at = self.labels_known_at(host.fleet);
        }
        let (mut added_key, mut dropped_keys) = (None, Vec::new());
        if let Some(keys) = other_keys {
            let enrolled_at = row::enrolled_at(host.fleet, self.now);
            if keys.iter().any(|key| key.created_at > enrolled_at) {
                tally.newer_here += 1;
                tally.name("newer_here", host.identifier);
            } else {
                added_key = Some(self.key(host, row.id));
                dropped_keys =
                    keys.iter().filter(|key| key.used_at.is_none()).map(|key| key.key_hash.clone()).collect();
            }
        }
        row::put_times(&mut row, host.fleet, self.now);
        if row != *known {
            row.updated_at = self.now;
        }
        WrittenHost { row, is_new: false, labels_before, labels, added_key, dropped_keys }
    }

    fn key(&self, host: &ComingHost<'_>, host_id: i64) -> node_keys::Model {
        node_keys::Model {
            key_hash: host.hash.to_vec(),
            host_id,
            // Fleet does not keep it, and a key without one never proves a clone.
            instance_id: String::new(),
            created_at: row::enrolled_at(host.fleet, self.now),
            used_at: None,
            first_used_at: None,
        }
    }

    fn of_fleet<'a>(&'a self, host: &'a ComingHost<'_>) -> impl Iterator<Item = &'a ImportedLabel> {
        host.labels.iter().filter_map(|id| self.labels.get(id))
    }

    /// As of when the labels of a host are known. If it has answered all labels as Fleet has them it has answered those that
    /// were just made of them, and need not be asked at once.
    fn labels_known_at(&self, host: &FleetHost) -> Moment {
        let asked = row::moment(host.label_updated_at);
        if asked != Moment::NEVER && asked >= self.newest_label { self.now } else { asked }
    }

    fn put_builtin(&self, row: &hosts::Model, labels: &mut BTreeSet<i64>) {
        let family = Family::of(None, &row.platform);
        let system = HostSystem { platform: &row.platform, os_version: &row.os_version, family };
        for (label_id, label) in &self.builtin {
            if label.has(&system) {
                labels.insert(*label_id);
            } else {
                labels.remove(label_id);
            }
        }
    }

    async fn write_all(&self, tx: &store::Tx, mut written: Vec<WrittenHost>) -> Result<()> {
        let there: BTreeMap<i64, hosts::Model> =
            written.iter().filter(|host| !host.is_new).map(|host| (host.row.id, host.row.clone())).collect();
        enrollments::update_hosts(tx, &row::columns(), there.into_values().collect()).await?;
        let new = written.iter().filter(|host| host.is_new).map(|host| host.row.clone()).collect();
        let ids = enrollments::insert_hosts(tx, new).await?;
        for host in written.iter_mut().filter(|host| host.is_new) {
            host.row.id = ids.get(&host.row.identifier).copied().unwrap_or_default();
        }
        let added = written
            .iter()
            .flat_map(|host| host.labels.difference(&host.labels_before).map(move |label_id| (*label_id, host.row.id)));
        store::labels::add_members(tx, added).await?;
        let mut removed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for host in &written {
            for label_id in host.labels_before.difference(&host.labels) {
                removed.entry(*label_id).or_default().push(host.row.id);
            }
        }
        for (label_id, host_ids) in removed {
            store::labels::remove_members(tx, label_id, host_ids).await?;
        }
        let mut news = Vec::with_capacity(written.len());
        let (mut dropped, mut keys) = (Vec::new(), Vec::new());
        for host in written {
            let has_other_keys = !host.is_new && (host.added_key.is_some() || !host.dropped_keys.is_empty());
            let kind = if has_other_keys { HostChangeKind::Keys } else { HostChangeKind::Changed };
            news.push((kind, host.row.id));
            dropped.extend(host.dropped_keys);
            keys.extend(host.added_key.map(|key| node_keys::Model { host_id: host.row.id, ..key }));
        }
        store::node_keys::delete(tx, dropped).await?;
        enrollments::insert_keys(tx, keys).await?;
        feed::append_all(tx, news, self.now).await
    }
}

/// The hosts that can come; the others are counted.
fn coming<'a>(page: &'a FleetHostPage, tally: &mut HostTally) -> Vec<ComingHost<'a>> {
    let mut coming = Vec::with_capacity(page.hosts.len());
    let mut taken = HashSet::new();
    for fleet in &page.hosts {
        tally.in_teams += u64::from(fleet.team_id.is_some());
        // As agents are taken at their word when they enroll.
        let identifier = fleet.identifier.trim();
        if identifier.is_empty() {
            tally.without_identifier += 1;
            continue;
        }
        if fleet.node_key.is_empty() {
            tally.without_key += 1;
            tally.name("without_key", identifier);
            continue;
        }
        if identifier.chars().count() > MAX_IDENTIFIER {
            tally.too_long += 1;
            tally.name("too_long", identifier);
            continue;
        }
        if !taken.insert(case::fold(identifier)) {
            tally.elsewhere += 1;
            tally.name("elsewhere", identifier);
            continue;
        }
        let labels = page.labels.get(&fleet.id).map_or(&[][..], Vec::as_slice);
        coming.push(ComingHost { identifier, hash: NodeKey::hash(&fleet.node_key), fleet, labels });
    }
    coming
}
