//! Lists beside a look at each host and a plain sort, whatever is changed, filtered, ordered and left out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::super::order::OrderKey;
use super::*;
use crate::fleet::hosts::list::{HostState, SystemWanted};
use crate::fleet::hosts::means_platform;
use crate::store::host_lists::{HostOrder, OrderValue};

const DAY: u64 = 24 * 3600;

/// The directory, and the same hosts in a plain map.
struct Twins {
    directory: Arc<Directory>,
    hosts: BTreeMap<i64, DirectoryHost>,
    /// Check-ins that only memory knows.
    seen: BTreeMap<i64, Moment>,
    gone: BTreeSet<i64>,
}

/// A list, which may begin behind the value of a host.
#[derive(Debug, Clone)]
struct ListCase {
    filter: HostFilter,
    behind: Option<prop::sample::Index>,
    /// Whether it begins behind that host, and not behind all hosts of its value.
    is_behind_host: bool,
}

#[derive(Debug, Clone)]
enum Edit {
    Put(Box<DirectoryHost>),
    Seen(i64, u64),
    Remove(i64),
    DropLabel(i64),
    List(Box<ListCase>),
}

fn uptime(id: i64) -> i64 {
    id % 5
}

/// What only the database knows.
fn has_little_disk(id: i64) -> bool {
    id % 2 == 0
}

fn key(host: &DirectoryHost, seen: Moment, order: HostOrder) -> OrderKey<'_> {
    let row = &host.row;
    match order {
        HostOrder::Hostname => OrderKey::Text(&row.hostname),
        HostOrder::Platform => OrderKey::Text(&row.platform),
        HostOrder::Memory => OrderKey::Number(row.memory),
        HostOrder::CreatedAt => OrderKey::Number(row.created_at.0),
        HostOrder::SeenTime => OrderKey::Number(seen.0),
        HostOrder::Uptime => OrderKey::Number(uptime(row.id)),
        _ => OrderKey::Number(row.id),
    }
}

fn cursor(order: HostOrder, key: OrderKey<'_>) -> OrderValue {
    match (key, order) {
        (OrderKey::Text(text), _) => OrderValue::Text(text.to_owned()),
        (OrderKey::Number(number), HostOrder::CreatedAt | HostOrder::SeenTime) => OrderValue::Time(Moment(number)),
        (OrderKey::Number(number), _) => OrderValue::Number(number),
    }
}

impl Twins {
    fn new() -> Self {
        Self { directory: directory(), hosts: BTreeMap::new(), seen: BTreeMap::new(), gone: BTreeSet::new() }
    }

    fn edit(&mut self, edit: Edit) {
        match edit {
            // Ids do not come again.
            Edit::Put(host) if self.gone.contains(&host.row.id) => {}
            Edit::Put(host) => {
                self.directory.put([(*host).clone()]);
                self.hosts.insert(host.row.id, *host);
            }
            Edit::Seen(id, secs_ago) => {
                let at = NOW.minus(Duration::from_secs(secs_ago));
                self.directory.seen.page_of(id).mark(id, at);
                let known = self.seen.entry(id).or_insert(at);
                *known = at.max(*known);
            }
            Edit::Remove(id) => {
                self.directory.remove([id]);
                self.gone.insert(id);
                self.hosts.remove(&id);
            }
            Edit::DropLabel(label) => {
                self.directory.drop_labels(&BTreeSet::from([label]));
                self.hosts.values_mut().for_each(|host| host.label_ids.retain(|id| *id != label));
            }
            Edit::List(_) => {}
        }
    }

    fn seen(&self, host: &DirectoryHost) -> Moment {
        host.row.seen_at.max(self.seen.get(&host.row.id).copied().unwrap_or(Moment::NEVER))
    }

    /// The filter of a list, with the value that it begins behind.
    fn filter(&self, listing: &ListCase) -> HostFilter {
        let host = listing.behind.filter(|_| !self.hosts.is_empty());
        let host = host.and_then(|behind| self.hosts.values().nth(behind.index(self.hosts.len())));
        let order = listing.filter.order;
        let after = host.map(|host| cursor(order, key(host, self.seen(host), order)));
        let after_id = host.filter(|_| listing.is_behind_host).map(|host| host.row.id);
        HostFilter { after, after_id, ..listing.filter.clone() }
    }

    fn is_chosen(&self, host: &DirectoryHost, filter: &HostFilter) -> bool {
        let row = &host.row;
        let text = filter.text.to_ascii_lowercase();
        let mut names =
            [&row.hostname, &row.computer_name, &row.uuid, &row.hardware_serial, &row.primary_ip].into_iter();
        let seen = self.seen(host);
        let is_online = seen.plus(Duration::from_secs(70)) > NOW;
        let is_in_state = match filter.state {
            None => true,
            Some(HostState::Online) => is_online,
            Some(HostState::Offline) => !is_online,
            Some(HostState::Missing) => seen.plus(Duration::from_secs(30 * DAY)) <= NOW,
            Some(HostState::New) => row.created_at.plus(Duration::from_secs(DAY)) >= NOW,
        };
        is_in_state
            && filter.label_id.is_none_or(|label| host.label_ids.contains(&label))
            && !filter.without_labels.iter().any(|label| host.label_ids.contains(label))
            && filter.platform.as_ref().is_none_or(|word| means_platform(word, &row.platform))
            && filter.system.as_ref().is_none_or(|system| system.has(&row.os_version))
            && filter.silent_since.is_none_or(|since| seen < since)
            && filter.disk_below.is_none_or(|_| has_little_disk(row.id))
            && filter.osquery_version.as_ref().is_none_or(|version| *version == row.osquery_version)
            && (text.is_empty() || names.any(|name| name.to_ascii_lowercase().contains(&text)))
    }

    /// The list as it must be, and how many hosts there are whatever its page.
    fn expected(&self, filter: &HostFilter) -> (Vec<PickedHost>, u64) {
        let keyed = |host| (key(host, self.seen(host), filter.order), host);
        let chosen = self.hosts.values().filter(|host| self.is_chosen(host, filter));
        let mut chosen: Vec<(OrderKey<'_>, &DirectoryHost)> = chosen.map(keyed).collect();
        let count = chosen.len() as u64;
        // Hosts with the same value stay in the order of their ids.
        chosen.sort_by(|a, b| if filter.is_descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
        if let Some(after) = &filter.after {
            let after = OrderKey::from(after);
            let is_behind = |key: OrderKey<'_>, id: i64| match filter.after_id {
                Some(after_id) if key == after => id > after_id,
                _ if filter.is_descending => key < after,
                _ => key > after,
            };
            chosen.retain(|(key, host)| is_behind(*key, host.row.id));
        }
        let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
        let page = chosen.into_iter().skip(filter.offset as usize).take(limit);
        (page.map(|(_, host)| PickedHost { id: host.row.id, seen: self.seen(host) }).collect(), count)
    }

    async fn is_listed_rightly(&self, listing: &ListCase) {
        let filter = self.filter(listing);
        let values = self.hosts.keys().map(|id| (*id, uptime(*id))).collect();
        let values = (filter.order == HostOrder::Uptime).then(|| Arc::new(values));
        let little = self.hosts.keys().filter(|id| has_little_disk(**id)).map(|id| id.cast_unsigned()).collect();
        let among = filter.disk_below.map(|_| Arc::new(little));
        let pick = HostPick { values, among, ..HostPick::new(filter, NOW) };
        let (page, count) = self.expected(&pick.filter);
        assert_eq!(self.directory.pick(pick.clone()).await.unwrap(), page, "{:?}", pick.filter);
        assert_eq!(self.directory.count(pick.clone()).await.unwrap(), count, "{:?}", pick.filter);
    }
}

fn seconds_ago() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..140, 1 => DAY - 2..DAY + 2, 1 => 30 * DAY - 2..30 * DAY + 2]
}

fn some_host(ids: std::ops::Range<i64>) -> impl Strategy<Value = Box<DirectoryHost>> {
    let labels = proptest::collection::btree_set(1_i64..4, 0..3);
    let platform = prop_oneof![9 => Just("ubuntu"), 1 => Just("darwin")];
    (ids, "[a-c]{1,3}", platform, seconds_ago(), seconds_ago(), labels).prop_map(
        |(id, name, platform, seen, created, labels)| {
            let mut host = host(id, &name, platform, seen, labels.into_iter().collect());
            host.row.created_at = NOW.minus(Duration::from_secs(created));
            host.row.osquery_version = if created % 3 == 0 { "5.23.0" } else { "5.9.1" }.to_owned();
            Box::new(host)
        },
    )
}

fn listing() -> impl Strategy<Value = Box<ListCase>> {
    let order = prop_oneof![
        Just(HostOrder::Id),
        Just(HostOrder::Hostname),
        Just(HostOrder::Platform),
        Just(HostOrder::Memory),
        Just(HostOrder::CreatedAt),
        Just(HostOrder::SeenTime),
        Just(HostOrder::Uptime),
    ];
    let states = vec![HostState::Online, HostState::Offline, HostState::Missing, HostState::New];
    let state = proptest::option::of(proptest::sample::select(states));
    let text = prop_oneof![3 => Just(String::new()), 1 => "[a-cA-C1-3]{1,2}"];
    let label = prop_oneof![2 => Just(None), 1 => (1_i64..4).prop_map(Some)];
    let limit = proptest::option::of(0_u64..5);
    let behind = proptest::option::of(any::<prop::sample::Index>());
    let platform = prop_oneof![6 => Just(None), 2 => Just(Some("ubuntu")), 2 => Just(Some("darwin")), 1 => Just(Some("linux")), 1 => Just(Some("?"))];
    let version = prop_oneof![3 => Just(None), 1 => Just(Some("5.9.1")), 1 => Just(Some("5"))];
    let system = prop_oneof![
        6 => Just((None, None)),
        1 => Just((Some("ubuntu"), None)),
        1 => Just((Some("darwin"), Some("1"))),
        1 => Just((None, Some("ubuntu 1"))),
    ];
    let silent = proptest::option::weighted(0.2, seconds_ago());
    let without = proptest::collection::vec(1_i64..4, 0..2);
    let disk = proptest::option::weighted(0.2, Just(1_u32));
    let kind = (platform, version, label, system, silent, without, disk);
    (order, any::<bool>(), state, text, kind, 0_u64..3, limit, behind, any::<bool>()).prop_map(
        |(order, is_descending, state, text, kind, offset, limit, behind, is_behind_host)| {
            let (platform, version, label_id, (name, of_system), silent, without_labels, disk_below) = kind;
            let words = [platform, version, name, of_system];
            let [platform, osquery_version, name, version] = words.map(|word: Option<&str>| word.map(str::to_owned));
            let system = Some(SystemWanted { name, version }).filter(|wanted| *wanted != SystemWanted::default());
            let silent_since = silent.map(|secs| NOW.minus(Duration::from_secs(secs)));
            let kind = HostFilter { platform, osquery_version, label_id, ..HostFilter::default() };
            let kind = HostFilter { system, silent_since, without_labels, disk_below, ..kind };
            let filter = HostFilter { text, state, offset, limit, order, is_descending, ..kind };
            Box::new(ListCase { filter, behind, is_behind_host })
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    const IDS: std::ops::Range<i64> = 1..100;
    prop_oneof![
        12 => some_host(IDS).prop_map(Edit::Put),
        3 => (IDS, seconds_ago()).prop_map(|(id, seen)| Edit::Seen(id, seen)),
        2 => IDS.prop_map(Edit::Remove),
        1 => (1_i64..4).prop_map(Edit::DropLabel),
        6 => listing().prop_map(Edit::List),
    ]
}

proptest! {
    /// Whatever is changed in whatever order, a list is what a look at each host would give.
    #[test]
    fn lists_are_what_a_look_at_each_host_gives(edits in proptest::collection::vec(edit(), 1..300)) {
        let mut twins = Twins::new();
        for edit in edits {
            match edit {
                Edit::List(listing) => twins.is_listed_rightly(&listing).now_or_never().unwrap(),
                edit => twins.edit(edit),
            }
        }
        let sizes = twins.directory.label_sizes().now_or_never().unwrap().unwrap();
        for label in 1..4 {
            let size = twins.hosts.values().filter(|host| host.label_ids.contains(&label)).count() as u64;
            prop_assert_eq!(sizes.get(&label).copied().unwrap_or_default(), size);
        }
    }
}

/// Hosts of a fleet whose orders are renewed and not sorted in for each page.
const MANY: i64 = 8_000;

/// Changed hosts that wear an order out, and some that do not.
const CHANGES: [usize; 3] = [1_500, 30, 0];

#[tokio::test]
async fn lists_of_a_large_fleet_are_what_a_look_at_each_host_gives() {
    let mut runner = TestRunner::deterministic();
    let mut twins = Twins::new();
    for id in 1..=MANY {
        let put = some_host(id..id + 1).prop_map(Edit::Put);
        twins.edit(put.new_tree(&mut runner).unwrap().current());
    }
    for changes in CHANGES {
        for _ in 0..changes {
            let put = some_host(1..MANY + 500).prop_map(Edit::Put);
            let edit = prop_oneof![9 => put, 1 => (1..MANY).prop_map(Edit::Remove)];
            twins.edit(edit.new_tree(&mut runner).unwrap().current());
        }
        for _ in 0..60 {
            twins.is_listed_rightly(&listing().new_tree(&mut runner).unwrap().current()).await;
        }
    }
}

/// Pages one behind the other, each beginning behind the last value of the one before, give every host once.
#[test]
fn pages_behind_each_other_give_every_host_once() {
    let mut twins = Twins::new();
    for id in 1..=700 {
        twins.edit(Edit::Put(Box::new(host(
            id,
            &format!("host-{}", id * 311 % 701),
            "ubuntu",
            30 + id as u64 % 50,
            Vec::new(),
        ))));
    }
    for (is_descending, state) in
        [(false, None), (true, None), (false, Some(HostState::Offline)), (true, Some(HostState::Online))]
    {
        let whole = HostFilter { order: HostOrder::Hostname, is_descending, state, ..HostFilter::default() };
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = pick(&twins.directory, &HostFilter { after, limit: Some(7), ..whole.clone() });
            let Some(last) = page.last() else { break };
            after = Some(OrderValue::Text(twins.hosts[last].row.hostname.clone()));
            pages.extend(page);
            // A host that changes on the way and keeps its name stays where it is.
            twins.edit(Edit::Put(Box::new(twins.hosts[&pages[0]].clone())));
        }
        assert_eq!(pages, pick(&twins.directory, &whole));
    }
}

/// As above, in an order in which hundreds of hosts have the same value.
#[test]
fn pages_behind_a_host_give_hosts_of_one_value_once() {
    let mut twins = Twins::new();
    for id in 1..=700 {
        let platform = if id % 3 == 0 { "darwin" } else { "ubuntu" };
        twins.edit(Edit::Put(Box::new(host(id, "h", platform, 30, Vec::new()))));
    }
    for is_descending in [false, true] {
        let whole = HostFilter { order: HostOrder::Platform, is_descending, ..HostFilter::default() };
        let (mut pages, mut behind) = (Vec::new(), HostFilter::default());
        loop {
            let page = pick(
                &twins.directory,
                &HostFilter {
                    limit: Some(50),
                    after: behind.after.clone(),
                    after_id: behind.after_id,
                    ..whole.clone()
                },
            );
            let Some(last) = page.last() else { break };
            let after = Some(OrderValue::Text(twins.hosts[last].row.platform.clone()));
            behind = HostFilter { after, after_id: Some(*last), ..HostFilter::default() };
            pages.extend(page);
        }
        assert_eq!(pages, pick(&twins.directory, &whole));
    }
}
