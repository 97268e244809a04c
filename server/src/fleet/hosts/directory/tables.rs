use std::collections::{BTreeSet, HashMap};

use roaring::RoaringBitmap;

use super::order::{KeptOrders, OrderKey};
use super::shared::SharedValues;
use super::slots::{SlotCursor, SlotIndex};
use super::text::TextColumn;
use crate::clock::Moment;
use crate::fleet::hosts::list::SystemWanted;
use crate::fleet::hosts::presence::online_for;
use crate::fleet::hosts::seen::seconds;
use crate::fleet::hosts::{Assignment, means_platform};
use crate::store::directory::{DirectoryHost, DirectoryRow};
use crate::store::host_lists::HostOrder;

/// Stands between the names of a host, which hold none.
const BETWEEN: char = '\0';

/// Numbers and times of a host. Its texts are elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostSlot {
    pub created_at: Moment,
    enrolled_at: Moment,
    memory: i64,
    kind: u32,
    label_set: u32,
}

/// All that tells whether a host is online, but when it was last seen since. By itself, because it is read of every host of
/// a fleet at one time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostCalls {
    pub id: i64,
    /// Second in which the host was last seen, as the database knew it when the host was read.
    pub seen: u32,
    /// Seconds after a call for which the host counts as online.
    pub online_for: u32,
}

/// Texts that many hosts have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HostKind {
    platform: Box<str>,
    os_version: Box<str>,
    osquery_version: Box<str>,
    hardware_model: Box<str>,
}

impl HostKind {
    fn of(row: &DirectoryRow) -> Self {
        Self {
            platform: row.platform.as_str().into(),
            os_version: row.os_version.as_str().into(),
            osquery_version: row.osquery_version.as_str().into(),
            hardware_model: row.hardware_model.as_str().into(),
        }
    }
}

/// A host as it is ordered.
struct OrderedHost<'a> {
    id: i64,
    slot: &'a HostSlot,
    /// Host name, computer name, UUID, serial number and address.
    names: &'a str,
    kind: Option<&'a HostKind>,
}

impl<'a> OrderedHost<'a> {
    /// The key of the host in an order. Orders by what the directory does not hold are the caller's.
    fn key(&self, order: HostOrder) -> OrderKey<'a> {
        let name = |number| OrderKey::Text(self.names.split(BETWEEN).nth(number).unwrap_or_default());
        let text = |text: fn(&HostKind) -> &str| OrderKey::Text(self.kind.map(text).unwrap_or_default());
        match order {
            HostOrder::Hostname => name(0),
            HostOrder::ComputerName => name(1),
            HostOrder::Uuid => name(2),
            HostOrder::HardwareSerial => name(3),
            HostOrder::PrimaryIp => name(4),
            HostOrder::Platform => text(|kind| &kind.platform),
            HostOrder::OsVersion => text(|kind| &kind.os_version),
            HostOrder::OsqueryVersion => text(|kind| &kind.osquery_version),
            HostOrder::HardwareModel => text(|kind| &kind.hardware_model),
            HostOrder::Memory => OrderKey::Number(self.slot.memory),
            HostOrder::CreatedAt => OrderKey::Number(self.slot.created_at.0),
            HostOrder::EnrolledAt => OrderKey::Number(self.slot.enrolled_at.0),
            HostOrder::Id
            | HostOrder::SeenTime
            | HostOrder::Uptime
            | HostOrder::UpdatedAt
            | HostOrder::DetailUpdatedAt
            | HostOrder::LabelUpdatedAt
            | HostOrder::GigsAvailable
            | HostOrder::PercentAvailable => OrderKey::Number(self.id),
        }
    }
}

/// All hosts by column. A host has a slot, which goes to another one when it is deleted.
#[derive(Debug, Default)]
pub(super) struct Tables {
    index: SlotIndex,
    free: Vec<u32>,
    /// Slots that hold a host.
    pub hosts: RoaringBitmap,
    slots: Vec<HostSlot>,
    calls: Vec<HostCalls>,
    names: TextColumn,
    kinds: SharedValues<HostKind>,
    label_sets: SharedValues<Box<[i64]>>,
    labels: HashMap<i64, RoaringBitmap>,
    platforms: HashMap<Box<str>, RoaringBitmap>,
    pub orders: KeptOrders,
}

impl Tables {
    pub fn put(&mut self, host: &DirectoryHost) {
        let row = &host.row;
        let slot = self.slot_for(row.id);
        let is_new = !self.hosts.contains(slot);
        let names = [&row.hostname, &row.computer_name, &row.uuid, &row.hardware_serial, &row.primary_ip];
        let names = names.map(|name| name.replace(BETWEEN, "")).join(&BETWEEN.to_string());
        let new = HostSlot {
            created_at: row.created_at,
            enrolled_at: row.enrolled_at,
            memory: row.memory,
            kind: self.kinds.hold(HostKind::of(row)),
            label_set: self.label_sets.hold(host.label_ids.as_slice().into()),
        };
        let now = OrderedHost { id: row.id, slot: &new, names: &names, kind: self.kinds.get(new.kind) };
        self.orders.slot_changed(slot, |order| is_new || self.ordered(slot).key(order) != now.key(order));

        let old = std::mem::replace(&mut self.slots[slot as usize], new);
        self.calls[slot as usize] = HostCalls {
            id: row.id,
            seen: seconds(row.seen_at),
            online_for: online_for(row.distributed_interval, row.config_refresh),
        };
        self.names.set(slot, &names);
        if is_new {
            self.enter_platform(slot, new.kind);
            self.move_labels(slot, None, Some(new.label_set));
            self.hosts.insert(slot);
            return;
        }
        if old.kind != new.kind {
            self.leave_platform(slot, old.kind);
            self.enter_platform(slot, new.kind);
        }
        if old.label_set != new.label_set {
            self.move_labels(slot, Some(old.label_set), Some(new.label_set));
        }
        // Held twice if they are the same.
        self.kinds.release(old.kind);
        self.label_sets.release(old.label_set);
    }

    pub fn remove(&mut self, id: i64) {
        let Some(slot) = self.index.remove(id) else { return };
        self.orders.slot_changed(slot, |_| true);
        let old = std::mem::take(&mut self.slots[slot as usize]);
        self.leave_platform(slot, old.kind);
        self.move_labels(slot, Some(old.label_set), None);
        self.kinds.release(old.kind);
        self.label_sets.release(old.label_set);
        self.hosts.remove(slot);
        self.names.set(slot, "");
        self.free.push(slot);
    }

    /// Removes labels that were deleted.
    pub fn drop_labels(&mut self, ids: &BTreeSet<i64>) {
        self.labels.retain(|id, _| !ids.contains(id));
        let kept = |set: &[i64]| -> Box<[i64]> { set.iter().copied().filter(|id| !ids.contains(id)).collect() };
        let affected = self.label_sets.all().filter(|(_, set)| set.iter().any(|id| ids.contains(id)));
        let affected: HashMap<u32, Box<[i64]>> = affected.map(|(number, set)| (number, kept(set))).collect();
        for slot in &self.hosts {
            let host = &mut self.slots[slot as usize];
            if let Some(kept) = affected.get(&host.label_set) {
                let old = std::mem::replace(&mut host.label_set, self.label_sets.hold(kept.clone()));
                self.label_sets.release(old);
            }
        }
    }

    pub fn slot(&self, id: i64) -> Option<u32> {
        self.index.get(id)
    }

    /// Looks up many slots.
    pub fn slot_cursor(&self) -> SlotCursor<'_> {
        self.index.cursor()
    }

    /// The ids of hosts above `after`, up to `until`.
    pub fn ids(&self, after: i64, until: i64) -> impl Iterator<Item = i64> {
        self.index.ids(after, until)
    }

    pub fn id(&self, slot: u32) -> i64 {
        self.calls[slot as usize].id
    }

    pub fn calls(&self, slot: u32) -> HostCalls {
        self.calls[slot as usize]
    }

    pub fn host(&self, slot: u32) -> &HostSlot {
        &self.slots[slot as usize]
    }

    pub fn label(&self, id: i64) -> Option<&RoaringBitmap> {
        self.labels.get(&id)
    }

    pub fn labels(&self) -> impl Iterator<Item = (i64, u64)> {
        self.labels.iter().map(|(id, members)| (*id, members.len()))
    }

    /// Platforms and versions of agents, and how many hosts have both; some more than once.
    pub fn platforms_and_versions(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.kinds.held().map(|(kind, hosts)| (&*kind.platform, &*kind.osquery_version, hosts.into()))
    }

    /// Numbers of kinds of hosts, with platform and version of the agent.
    pub fn kinds(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.kinds.all().map(|(number, kind)| (number, &*kind.platform, &*kind.osquery_version))
    }

    /// The number of the kind of a host, as in [`Tables::kinds`].
    pub fn kind(&self, slot: u32) -> u32 {
        self.slots[slot as usize].kind
    }

    /// Numbers of the kind and of the labels of a host: hosts with the same numbers have both in common.
    pub fn likeness(&self, slot: u32) -> (u32, u32) {
        let host = self.host(slot);
        (host.kind, host.label_set)
    }

    /// The platform and the labels of hosts with these numbers.
    pub fn assignment(&self, (kind, label_set): (u32, u32)) -> Assignment {
        let platform = self.kinds.get(kind).map(|kind| kind.platform.clone()).unwrap_or_default();
        let mut label_ids = self.label_sets.get(label_set).cloned().unwrap_or_default();
        label_ids.sort_unstable();
        Assignment { platform, label_ids, ..Assignment::default() }
    }

    pub fn address(&self, slot: u32) -> &str {
        self.names.get(slot).split(BETWEEN).nth(4).unwrap_or_default()
    }

    /// Platforms of hosts, and the hosts of each.
    pub fn platforms(&self) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.platforms.iter().map(|(platform, hosts)| (&**platform, hosts))
    }

    /// The hosts of the platforms that a word means.
    pub fn platform(&self, word: &str) -> RoaringBitmap {
        let meant = self.platforms().filter(|(platform, _)| means_platform(word, platform));
        meant.fold(RoaringBitmap::new(), |all, (_, hosts)| all | hosts)
    }

    /// Those of these hosts whose agent has a version.
    pub fn with_version(&self, hosts: &RoaringBitmap, version: &str) -> RoaringBitmap {
        self.of_kind(hosts, |kind| *kind.osquery_version == *version)
    }

    /// Those of these hosts whose system has a name, a version, or both, as [`SystemWanted`] says.
    pub fn with_system(&self, hosts: &RoaringBitmap, wanted: &SystemWanted) -> RoaringBitmap {
        self.of_kind(hosts, |kind| wanted.has(&kind.os_version))
    }

    /// Those of these hosts that have told nothing of themselves.
    pub fn unnamed(&self, hosts: &RoaringBitmap) -> RoaringBitmap {
        let unknown = self.of_kind(hosts, |kind| kind.osquery_version.is_empty());
        let is_unnamed = |slot: &u32| {
            let host = self.ordered(*slot);
            let is_empty = |order| host.key(order) == OrderKey::Text("");
            is_empty(HostOrder::Hostname) && is_empty(HostOrder::HardwareSerial)
        };
        RoaringBitmap::from_sorted_iter(unknown.iter().filter(is_unnamed)).unwrap_or_default()
    }

    fn of_kind(&self, hosts: &RoaringBitmap, is_wanted: impl Fn(&HostKind) -> bool) -> RoaringBitmap {
        let wanted = self.kinds.all().filter(|(_, kind)| is_wanted(kind));
        let kinds: RoaringBitmap = wanted.map(|(number, _)| number).collect();
        let is_of_kind = |slot: &u32| kinds.contains(self.slots[*slot as usize].kind);
        RoaringBitmap::from_sorted_iter(hosts.iter().filter(is_of_kind)).unwrap_or_default()
    }

    /// Hosts with a name, UUID, serial number or address that contains `text`; capitals from A to Z do not matter.
    pub fn with_text(&self, text: &str) -> RoaringBitmap {
        let mut found = Vec::new();
        if !text.contains(BETWEEN) {
            self.names.search(text, |slot| found.push(slot));
        }
        found.dedup();
        RoaringBitmap::from_sorted_iter(found).unwrap_or_default()
    }

    /// The key of a host in an order.
    pub fn key(&self, order: HostOrder, slot: u32) -> OrderKey<'_> {
        self.ordered(slot).key(order)
    }

    fn ordered(&self, slot: u32) -> OrderedHost<'_> {
        let host = &self.slots[slot as usize];
        OrderedHost { id: self.id(slot), slot: host, names: self.names.get(slot), kind: self.kinds.get(host.kind) }
    }

    fn slot_for(&mut self, id: i64) -> u32 {
        if let Some(slot) = self.index.get(id) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(HostSlot::default());
            self.calls.push(HostCalls::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.index.insert(id, slot);
        slot
    }

    /// Takes a host out of labels of one set and puts it into those of another, as far as they differ.
    fn move_labels(&mut self, slot: u32, from: Option<u32>, to: Option<u32>) {
        let set =
            |number: Option<u32>| number.and_then(|number| self.label_sets.get(number)).map_or(&[][..], |set| set);
        let (from, to) = (set(from), set(to));
        for label_id in from.iter().filter(|id| to.binary_search(id).is_err()) {
            if let Some(members) = self.labels.get_mut(label_id) {
                members.remove(slot);
                if members.is_empty() {
                    self.labels.remove(label_id);
                }
            }
        }
        for label_id in to.iter().filter(|id| from.binary_search(id).is_err()) {
            self.labels.entry(*label_id).or_default().insert(slot);
        }
    }

    fn enter_platform(&mut self, slot: u32, kind: u32) {
        let Some(platform) = self.kinds.get(kind).map(|kind| &kind.platform) else { return };
        match self.platforms.get_mut(platform) {
            Some(hosts) => {
                hosts.insert(slot);
            }
            None => {
                self.platforms.insert(platform.clone(), RoaringBitmap::from([slot]));
            }
        }
    }

    fn leave_platform(&mut self, slot: u32, kind: u32) {
        let Some(platform) = self.kinds.get(kind).map(|kind| &kind.platform) else { return };
        if let Some(hosts) = self.platforms.get_mut(platform) {
            hosts.remove(slot);
            if hosts.is_empty() {
                self.platforms.remove(platform);
            }
        }
    }
}
