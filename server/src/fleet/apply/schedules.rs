//! The global schedule, and the schedules that Fleet keeps in the documents of queries: those are put into the global schedule,
//! or into packs named after the labels that narrow them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use muster_api::rest::Action;
use muster_api::spec::{
    DocumentKind, GlobalScheduleSpec, PackQuery, PackSpec, QueryDocument, QueryLogging, SpecDocument,
};
use serde_json::json;

use super::packs::{PackNames, no_such_label};
use super::unnamed::{UNNAMED, rolled_out};
use super::{ApplyRun, Located, of_kind, to_value};
use crate::fleet::changes::{ObjectChange, ObjectKind};
use crate::fleet::hosts::ALL_HOSTS;
use crate::fleet::packs::{GLOBAL, Narrowing, TWICE, check, is_of_own_schedules};
use crate::fleet::{Result, path, scheduled, specs};
use crate::store::case;
use crate::store::{self, entity};

/// What the document of a query says of its schedule.
struct OwnSchedule<'a> {
    document: &'a Located,
    /// The name it has in a schedule.
    name: String,
    /// Where it is scheduled, and how; `None` for a query that is not to be scheduled.
    wanted: Option<(ScheduleOf, PackQuery)>,
}

/// The pack that holds own schedules of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ScheduleOf {
    pack: String,
    narrowing: Narrowing,
}

impl ScheduleOf {
    /// That of all hosts, or of those that some labels leave.
    fn of(narrowing: Narrowing) -> Self {
        if narrowing.is_none() {
            let any = BTreeSet::from([ALL_HOSTS.to_owned()]);
            return Self { pack: GLOBAL.to_owned(), narrowing: Narrowing { any, ..Narrowing::default() } };
        }
        Self { pack: narrowing.pack_name(), narrowing }
    }

    fn spec(&self) -> PackSpec {
        PackSpec { name: self.pack.clone(), targets: self.narrowing.targets(), ..PackSpec::default() }
    }
}

/// The keys that narrow a schedule to labels.
fn narrowing_keys(spec: &QueryDocument) -> [(&'static str, &Vec<String>); 3] {
    [
        ("labels_include_any", &spec.labels_include_any),
        ("labels_include_all", &spec.labels_include_all),
        ("labels_exclude_any", &spec.labels_exclude_any),
    ]
}

impl ApplyRun<'_> {
    pub(super) async fn schedules(&mut self, documents: &[Located]) -> Result<()> {
        let whole = of_kind!(documents, GlobalSchedule).next();
        let (scheduling, idle): (Vec<_>, Vec<_>) =
            of_kind!(documents, Query).partition(|(_, spec)| spec.interval.is_some());
        for (document, spec) in idle {
            self.skip_idle_keys(document, spec);
        }
        if whole.is_none() && scheduling.is_empty() && !self.is_whole {
            return Ok(());
        }
        let names = self.pack_names(documents).await?;
        let own: Vec<OwnSchedule<'_>> =
            scheduling.into_iter().map(|(document, spec)| self.own_schedule(document, spec, &names)).collect();
        let existing = self.packs_of_own_schedules().await?;
        let mut wanted = existing.clone();
        if let Some((document, spec)) = whole {
            let global = wanted.entry(GLOBAL.to_owned()).or_insert_with(|| ScheduleOf::of(Narrowing::default()).spec());
            global.queries.clone_from(&spec.queries);
            check(|key| document.path(key), global, &mut self.problems, &mut self.warnings);
            self.check_references(|key| document.path(key), &global.clone(), &names);
        }
        let rolled_out = rolled_out(documents);
        let of_rollouts: HashSet<String> =
            of_kind!(rolled_out, Query).map(|(_, spec)| spec.name.replace(':', "_")).collect();
        let is_rolled_out = |document: &Located| matches!(&document.spec, SpecDocument::GlobalSchedule(_));
        let has_document = whole.is_some() || self.is_whole && rolled_out.iter().any(is_rolled_out);
        self.put_into(&own, has_document, &of_rollouts, &mut wanted);
        // Outcomes stand with the document that is the reason.
        let first_own = own.first().map(|own| own.document.index).or(self.is_whole.then_some(UNNAMED));
        // Packs that go make room for others of the same name in other case.
        let (gone, kept): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(name, spec)| spec.queries.is_empty() && name != GLOBAL);
        for (name, spec) in gone.into_iter().chain(kept) {
            let of_document = whole.filter(|_| name == GLOBAL).map(|(document, _)| document.index);
            let Some(index) = of_document.or(first_own) else { continue };
            let spec = names.normal(&spec, existing.get(&name));
            self.write_schedule(index, of_document.is_some(), &spec, existing.get(&name), &names).await?;
        }
        Ok(())
    }

    /// The global schedule, and the packs that hold schedules of queries narrowed to labels.
    async fn packs_of_own_schedules(&self) -> Result<BTreeMap<String, PackSpec>> {
        let mut found = BTreeMap::new();
        for row in store::named::all::<entity::packs::Entity>(self.tx).await? {
            if is_of_own_schedules(&row.name) {
                found.insert(row.name.clone(), specs::whole_pack(self.tx, row).await?);
            }
        }
        Ok(found)
    }

    /// Names what a document says of a schedule that is not there.
    fn skip_idle_keys(&mut self, document: &Located, spec: &QueryDocument) {
        let texts = [("platform", &spec.platform), ("min_osquery_version", &spec.min_osquery_version)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, _)| key);
        let lists = narrowing_keys(spec).into_iter().filter(|(_, labels)| !labels.is_empty()).map(|(key, _)| key);
        for key in texts.chain(lists) {
            self.skip(document, key, "it belongs to a schedule, and the query has none (interval)");
        }
    }

    /// What a document with an interval says of the schedule of its query.
    fn own_schedule<'a>(&mut self, document: &'a Located, spec: &QueryDocument, names: &PackNames) -> OwnSchedule<'a> {
        let name = spec.name.replace(':', "_");
        let removed = OwnSchedule { document, name: name.clone(), wanted: None };
        let interval = spec.interval.unwrap_or_default();
        if interval == 0 {
            self.skip_idle_keys(document, spec);
            return removed;
        }
        if spec.automations_enabled == Some(false) {
            if spec.discard_data == Some(true) {
                let why = "Fleet keeps the results nowhere, so the queries are not scheduled; set automations_enabled to true to \
                           schedule them";
                self.skip_schedule(document, spec, "automations_enabled", why);
                return removed;
            }
            self.skip(document, "automations_enabled", "results of scheduled queries always go to the log here");
        }
        let Some(narrowing) = self.narrowed_to(document, spec, names) else { return removed };
        if name != spec.name {
            let why = format!("':' breaks the agents' denylist, so the query is scheduled as {name:?}");
            self.warn(document.path("name"), why);
        }
        let (snapshot, is_removed) = match spec.logging {
            Some(QueryLogging::Differential) => (None, None),
            Some(QueryLogging::DifferentialIgnoreRemovals) => (None, Some(false)),
            Some(QueryLogging::Snapshot) | None => (Some(true), None),
        };
        let query = PackQuery {
            interval,
            name: if name == spec.name { String::new() } else { name.clone() },
            platform: spec.platform.clone(),
            query: spec.name.clone(),
            removed: is_removed,
            snapshot,
            version: if spec.min_osquery_version == "all" { String::new() } else { spec.min_osquery_version.clone() },
            ..PackQuery::default()
        };
        let at = |key: &str| match key {
            "version" => document.path("min_osquery_version"),
            "query" => document.path("name"),
            key => document.path(key),
        };
        scheduled::check(at, &query, &mut self.problems, &mut self.warnings);
        OwnSchedule { document, name, wanted: Some((ScheduleOf::of(narrowing), query)) }
    }

    fn skip(&mut self, document: &Located, key: &str, why: &str) {
        self.skipped.add(DocumentKind::Query.as_str(), key.to_owned(), &document.path(key), why);
    }

    /// Notes that a query is not scheduled because of a key.
    fn skip_schedule(&mut self, document: &Located, spec: &QueryDocument, key: &str, why: &str) {
        self.skipped.add_named("the schedule of", key.to_owned(), &spec.name, &document.path(key), why);
    }

    /// What narrows the schedule of a query; `None` if it is not to be scheduled, which a warning explains.
    fn narrowed_to(&mut self, document: &Located, spec: &QueryDocument, names: &PackNames) -> Option<Narrowing> {
        let mut narrowing = Narrowing::default();
        let mut keys: HashMap<String, &str> = HashMap::new();
        for (key, labels) in narrowing_keys(spec) {
            let problems = self.problems.len();
            let found = self.narrowing_labels(document, (key, labels), names);
            // Without a label that hosts must be in, or must not be in, other hosts would run the query.
            let is_enough = if key == "labels_include_any" { !found.is_empty() } else { found.len() == labels.len() };
            if !labels.is_empty() && !is_enough && self.problems.len() == problems {
                let why = "a label that narrows it is skipped, so the query is not scheduled; name another label";
                self.skip_schedule(document, spec, key, why);
                return None;
            }
            for label in &found {
                if keys.insert(label.clone(), key).is_some_and(|other| other != key) {
                    self.problem(document.path(key), format!("{TWICE}: {label:?}"));
                }
            }
            match key {
                "labels_include_any" => narrowing.any = found.into_iter().collect(),
                "labels_include_all" => narrowing.all = found.into_iter().collect(),
                _ => narrowing.excluded = found.into_iter().collect(),
            }
        }
        Some(narrowing)
    }

    /// The labels of a key, without those that documents describe and that are skipped.
    fn narrowing_labels(
        &mut self,
        document: &Located,
        (key, labels): (&str, &[String]),
        names: &PackNames,
    ) -> Vec<String> {
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for (position, label) in labels.iter().enumerate() {
            if let Some(label) = names.own_label_name(label) {
                found.push(label.to_owned());
                continue;
            }
            let at = path::item(&document.path(key), position);
            let is_skipped = self.changes.iter().any(|(_, change)| {
                change.action == Action::Ignored
                    && change.kind == DocumentKind::Label.as_str()
                    && case::is_same(&change.name, label)
            });
            match is_skipped {
                true => skipped.push((at, label)),
                false => self.problem(at, no_such_label(label)),
            }
        }
        if key == "labels_include_any" && !found.is_empty() {
            for (at, label) in skipped {
                self.warn(at, format!("skipped: the label {label:?} is skipped, so its hosts do not run the query"));
            }
        }
        found
    }

    /// Puts the schedules of queries where they belong, and takes them out of where they were. Those that rollouts change stay as they
    /// are: they are scheduled under the names `of_rollouts`.
    fn put_into(
        &mut self,
        own: &[OwnSchedule<'_>],
        has_document: bool,
        of_rollouts: &HashSet<String>,
        wanted: &mut BTreeMap<String, PackSpec>,
    ) {
        let mut by_name: HashMap<&str, &OwnSchedule<'_>> = HashMap::new();
        let mut of_packs: HashMap<&str, &Narrowing> = HashMap::new();
        for own in own {
            if by_name.insert(&own.name, own).is_some() {
                let reason = format!("another query is scheduled as {:?}; give one another name", own.name);
                self.problem(own.document.path("name"), reason);
            }
            if let Some((schedule, _)) = &own.wanted {
                let other = of_packs.insert(&schedule.pack, &schedule.narrowing);
                if other.is_some_and(|other| *other != schedule.narrowing) {
                    let reason = format!(
                        "its pack would be {:?}, as that of a query for other labels; schedule it by a pack instead",
                        schedule.pack
                    );
                    self.problem(own.document.path("interval"), reason);
                }
                wanted.entry(schedule.pack.clone()).or_insert_with(|| schedule.spec());
            }
        }
        if has_document && let Some(global) = wanted.get(GLOBAL) {
            let is_otherwise = |query: &PackQuery, own: &OwnSchedule<'_>| {
                own.wanted.as_ref().is_none_or(|(schedule, wanted)| schedule.pack != GLOBAL || wanted != query)
            };
            for query in &global.queries {
                if let Some(own) = by_name.get(query.scheduled_name()).filter(|own| is_otherwise(query, own)) {
                    let reason = "the global_schedule document schedules the query otherwise; keep one of them";
                    self.problem(own.document.path("interval"), reason);
                }
            }
        }
        let mut placed = HashSet::new();
        for (name, pack) in wanted.iter_mut() {
            let keeps_others = !self.is_whole || has_document && name == GLOBAL;
            pack.queries.retain_mut(|query| {
                let Some(own) = by_name.get(query.scheduled_name()) else {
                    return keeps_others || of_rollouts.contains(query.scheduled_name());
                };
                let here = own.wanted.as_ref().filter(|(schedule, _)| schedule.pack == *name);
                if let Some((_, wanted)) = here {
                    query.clone_from(wanted);
                    placed.insert(own.name.as_str());
                }
                here.is_some()
            });
        }
        for own in own.iter().filter(|own| !placed.contains(own.name.as_str())) {
            let Some((schedule, query)) = &own.wanted else { continue };
            if let Some(pack) = wanted.get_mut(&schedule.pack) {
                pack.queries.push(query.clone());
            }
        }
    }

    /// Writes a schedule that differs. A pack that was narrowed to labels goes with its last query.
    async fn write_schedule(
        &mut self,
        index: usize,
        is_of_document: bool,
        spec: &PackSpec,
        old: Option<&PackSpec>,
        names: &PackNames,
    ) -> Result<()> {
        if !is_of_document && old == Some(spec) {
            return Ok(());
        }
        let id = spec.id.unwrap_or_default();
        let is_global = spec.name == GLOBAL;
        if spec.queries.is_empty() && !is_global {
            self.outcome(index, DocumentKind::Pack, &spec.name, Action::Deleted);
            let before = old.map(to_value).transpose()?;
            self.rests_on(&json!(before));
            self.objects.add(ObjectChange {
                kind: ObjectKind::Pack,
                id,
                name: spec.name.clone(),
                before,
                after: None,
            })?;
            return Ok(store::packs::delete(self.tx, id).await?);
        }
        let action = if is_global {
            let queries = |spec: &PackSpec| GlobalScheduleSpec { queries: spec.queries.clone() };
            // A server without a schedule has an empty one.
            let before = old.map(queries).unwrap_or_default();
            self.note_as(index, DocumentKind::GlobalSchedule, (id, ""), Some(&before), &queries(spec))?
        } else {
            self.note_as(index, DocumentKind::Pack, (id, &spec.name), old, spec)?
        };
        self.rests_on_sql(spec, names);
        if is_global && index == UNNAMED && action == Action::Changed {
            self.as_deleted("");
        }
        if action == Action::Unchanged || !self.problems.is_empty() {
            return Ok(());
        }
        let pack_id = self.write_pack(spec, old, names).await?;
        if old.is_none() {
            self.objects.identify_last(pack_id);
        }
        Ok(())
    }
}
