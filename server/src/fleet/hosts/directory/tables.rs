use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use roaring::RoaringBitmap;

use super::order::{Direction, OrderKey, SortedSlots};
use super::text::TextColumn;
use super::words::Words;
use crate::clock::Moment;
use crate::lock::lock;
use crate::store::directory::DirectoryHost;
use crate::store::host_lists::HostOrder;
use crate::store::hosts::AgentIntervals;

/// Stands between the names of a host, which hold none.
const BETWEEN: char = '\0';

/// When a host was there. Read for each host when hosts are picked by status, so it stands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Times {
    pub created_at: Moment,
    /// As the database knew it when the host was read.
    pub seen_at: Moment,
    pub distributed_interval: u32,
    pub config_refresh: u32,
}

/// What is left of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    platform: Arc<str>,
    os_version: Arc<str>,
    osquery_version: Arc<str>,
    hardware_model: Arc<str>,
    memory: i64,
    enrolled_at: Moment,
}

/// All hosts by column. A host has a slot, which goes to another one when it is deleted.
#[derive(Debug, Default)]
pub(super) struct Tables {
    slots: HashMap<i64, u32>,
    free: Vec<u32>,
    /// Slots that hold a host.
    pub hosts: RoaringBitmap,
    ids: Vec<i64>,
    /// Host name, computer name, UUID, serial number and address.
    names: TextColumn,
    times: Vec<Times>,
    facts: Vec<Option<Facts>>,
    labels: HashMap<i64, RoaringBitmap>,
    platforms: HashMap<Arc<str>, RoaringBitmap>,
    words: Words,
    orders: Mutex<HashMap<Direction, Arc<Mutex<SortedSlots>>>>,
}

impl Tables {
    pub fn put(&mut self, host: &DirectoryHost) -> u32 {
        let slot = self.slot_for(host.row.id);
        let row = &host.row;
        let names = [&row.hostname, &row.computer_name, &row.uuid, &row.hardware_serial, &row.primary_ip];
        let names = names.map(|name| name.replace(BETWEEN, "")).join(&BETWEEN.to_string());
        let facts = Facts {
            platform: self.words.shared(&row.platform),
            os_version: self.words.shared(&row.os_version),
            osquery_version: self.words.shared(&row.osquery_version),
            hardware_model: self.words.shared(&row.hardware_model),
            memory: row.memory,
            enrolled_at: row.enrolled_at,
        };
        let seconds = |interval: i64| u32::try_from(interval).unwrap_or_default();
        let times = Times {
            created_at: row.created_at,
            seen_at: row.seen_at,
            distributed_interval: seconds(row.distributed_interval),
            config_refresh: seconds(row.config_refresh),
        };
        let (is_new, at) = (!self.hosts.contains(slot), slot as usize);
        let is_reordered = is_new
            || self.names.get(slot) != names
            || self.facts[at].as_ref() != Some(&facts)
            || self.times[at].created_at != times.created_at;
        if let Some(known) = &self.facts[at]
            && known.platform != facts.platform
        {
            self.leave_platform(&Arc::clone(&known.platform), slot);
        }
        self.platforms.entry(Arc::clone(&facts.platform)).or_default().insert(slot);
        self.names.set(slot, &names);
        self.facts[at] = Some(facts);
        self.times[at] = times;
        self.set_labels(slot, &host.label_ids);
        self.hosts.insert(slot);
        if is_reordered {
            self.reorder(slot);
        }
        slot
    }

    pub fn remove(&mut self, id: i64) {
        let Some(slot) = self.slots.remove(&id) else { return };
        self.set_labels(slot, &[]);
        self.hosts.remove(slot);
        if let Some(facts) = self.facts[slot as usize].take() {
            self.leave_platform(&facts.platform, slot);
        }
        self.names.set(slot, "");
        self.free.push(slot);
        self.reorder(slot);
    }

    pub fn drop_labels(&mut self, ids: &BTreeSet<i64>) {
        self.labels.retain(|id, _| !ids.contains(id));
    }

    pub fn set_intervals(&mut self, id: i64, intervals: AgentIntervals) {
        if let Some(slot) = self.slots.get(&id) {
            let times = &mut self.times[*slot as usize];
            times.distributed_interval = u32::try_from(intervals.distributed).unwrap_or_default();
            times.config_refresh = u32::try_from(intervals.config_refresh).unwrap_or_default();
        }
    }

    pub fn slot(&self, id: i64) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    pub fn id(&self, slot: u32) -> i64 {
        self.ids[slot as usize]
    }

    pub fn times(&self, slot: u32) -> Times {
        self.times[slot as usize]
    }

    pub fn label(&self, id: i64) -> Option<&RoaringBitmap> {
        self.labels.get(&id)
    }

    pub fn labels(&self) -> impl Iterator<Item = (i64, u64)> {
        self.labels.iter().map(|(id, members)| (*id, members.len()))
    }

    /// Hosts of the platforms that `is_meant` picks.
    pub fn of_platforms(&self, is_meant: impl Fn(&str) -> bool) -> RoaringBitmap {
        let mut members = RoaringBitmap::new();
        for (_, hosts) in self.platforms.iter().filter(|(platform, _)| is_meant(platform)) {
            members |= hosts;
        }
        members
    }

    /// Hosts with a name, UUID, serial number or address that contains `text`; capitals from A to Z do not matter.
    pub fn with_text(&self, text: &str) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        if !text.contains(BETWEEN) {
            self.names.search(text, |slot| {
                found.insert(slot);
            });
        }
        found
    }

    /// What a host is ordered by. Orders by what the directory does not hold are the caller's.
    pub fn key(&self, order: HostOrder, slot: u32) -> OrderKey<'_> {
        let name = |number| OrderKey::Text(self.names.get(slot).split(BETWEEN).nth(number).unwrap_or_default());
        let times = &self.times[slot as usize];
        let Some(facts) = &self.facts[slot as usize] else { return OrderKey::Number(0) };
        match order {
            HostOrder::Hostname => name(0),
            HostOrder::ComputerName => name(1),
            HostOrder::Uuid => name(2),
            HostOrder::HardwareSerial => name(3),
            HostOrder::PrimaryIp => name(4),
            HostOrder::Platform => OrderKey::Text(&facts.platform),
            HostOrder::OsVersion => OrderKey::Text(&facts.os_version),
            HostOrder::OsqueryVersion => OrderKey::Text(&facts.osquery_version),
            HostOrder::HardwareModel => OrderKey::Text(&facts.hardware_model),
            HostOrder::Memory => OrderKey::Number(facts.memory),
            HostOrder::CreatedAt => OrderKey::Number(times.created_at.0),
            HostOrder::EnrolledAt => OrderKey::Number(facts.enrolled_at.0),
            HostOrder::Id
            | HostOrder::SeenTime
            | HostOrder::Uptime
            | HostOrder::UpdatedAt
            | HostOrder::DetailUpdatedAt => OrderKey::Number(self.id(slot)),
        }
    }

    /// The kept order, sorted now if there is none or too much of it has changed.
    pub fn sorted(&self, direction: Direction) -> Arc<Mutex<SortedSlots>> {
        let new = || Arc::new(Mutex::new(SortedSlots::of(self, direction)));
        let kept = Arc::clone(lock(&self.orders).entry(direction).or_insert_with(new));
        let mut sorted = lock(&kept);
        if sorted.is_worn() {
            *sorted = SortedSlots::of(self, direction);
        }
        drop(sorted);
        kept
    }

    fn slot_for(&mut self, id: i64) -> u32 {
        if let Some(slot) = self.slots.get(&id) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.ids.push(0);
            self.times.push(Times::default());
            self.facts.push(None);
            u32::try_from(self.ids.len() - 1).unwrap_or(u32::MAX)
        });
        self.ids[slot as usize] = id;
        self.slots.insert(id, slot);
        slot
    }

    fn set_labels(&mut self, slot: u32, label_ids: &[i64]) {
        for label_id in label_ids {
            self.labels.entry(*label_id).or_default().insert(slot);
        }
        if !self.hosts.contains(slot) {
            return;
        }
        self.labels.retain(|label_id, members| {
            if label_ids.binary_search(label_id).is_err() {
                members.remove(slot);
            }
            !members.is_empty()
        });
    }

    fn leave_platform(&mut self, platform: &Arc<str>, slot: u32) {
        if let Some(hosts) = self.platforms.get_mut(platform) {
            hosts.remove(slot);
            if hosts.is_empty() {
                self.platforms.remove(platform);
            }
        }
    }

    fn reorder(&self, slot: u32) {
        for sorted in lock(&self.orders).values() {
            lock(sorted).slot_changed(slot);
        }
    }
}
