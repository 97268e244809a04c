use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::assemble::{self, Assembled};
use super::retired::Retired;
use super::rollout::{self, Cohorts, OfferedPack, PlannedRollout, offered, rollout_platforms};
use super::{BuiltInOptions, PlannedPack, ScheduledQuery, options};
use crate::clock::Moment;
use crate::fleet::hosts::{Assignment, BUILTIN, BuiltinLabel, means_platform};
use crate::fleet::{Result, specs};
use crate::store::entity::labels::{self, LabelTypeWord, MembershipWord};
use crate::store::{self, Error, entity, generations, settings};

/// Orders plans by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Edition {
    pub generation: i64,
    /// When the first retired option expires, which changes configs without a change by anybody.
    pub outdated_at: Moment,
}

/// Plans loaded since the start.
static PLANS: AtomicU64 = AtomicU64::new(0);

/// Everything that decides what hosts run and who may enroll, as of one generation.
#[derive(Debug, Default)]
pub struct Plan {
    /// Tells plans apart, later ones with a higher number. A generation does not: one that was rolled back is given away again.
    number: u64,
    pub generation: i64,
    outdated_at: Moment,
    /// `{config, overrides}`.
    pub agent_options: Value,
    pub(super) retired: Retired,
    /// Sorted by name. What rollouts put in the place of some, or beside them, is not among them.
    pub packs: Vec<PlannedPack>,
    /// Those that decide about configs.
    pub rollouts: Vec<PlannedRollout>,
    /// Packs of rollouts.
    pub(super) offered: Vec<OfferedPack>,
    labels: BTreeMap<i64, String>,
    dynamic: Vec<DynamicLabel>,
    builtin: Vec<(i64, BuiltinLabel)>,
    secrets: Vec<PlannedSecret>,
    /// Labels that packs exclude, sorted, but for those of which it is always known who is in them.
    excluded: Vec<ExcludedLabel>,
    /// Hosts that were asked about their labels since know all that packs exclude.
    excludes_since: Moment,
}

/// Time from when a change is stamped until every node asks hosts by it: the rest of its transaction, 2 s until other nodes have read
/// it, and 5 s by which their clocks may differ. Whoever was asked before was perhaps asked without it.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// A label that a pack excludes.
#[derive(Debug, Clone)]
struct ExcludedLabel {
    id: i64,
    /// It is known of hosts that were asked since.
    since: Moment,
    /// Of a dynamic label: hosts of other platforms are never asked. Of a built-in one: every host with a platform is known.
    dynamic: Option<DynamicLabel>,
}

impl ExcludedLabel {
    fn of(row: &labels::Model) -> Option<Self> {
        match (&row.label_type, &row.membership_type) {
            (LabelTypeWord::Builtin, _) => Some(Self { id: row.id, since: Moment(1), dynamic: None }),
            _ if is_asked(row) => {
                Some(Self { id: row.id, since: row.created_at.plus(TOLD_WITHIN), dynamic: Some(DynamicLabel::of(row)) })
            }
            _ => None,
        }
    }

    fn is_known(&self, platform: &str, asked_at: Moment) -> bool {
        let is_by_platform = || self.dynamic.as_ref().is_none_or(|label| !label.is_for(platform));
        asked_at >= self.since || (!platform.is_empty() && is_by_platform())
    }
}

/// A label whose members are the hosts its query returns a row on.
#[derive(Debug, Clone)]
pub struct DynamicLabel {
    pub id: i64,
    pub sql: String,
    pub changed_at: Moment,
    platform: String,
}

impl DynamicLabel {
    fn of(row: &labels::Model) -> Self {
        Self { id: row.id, sql: row.query.clone(), changed_at: row.updated_at, platform: row.platform.clone() }
    }

    /// Whether hosts of a platform are asked.
    pub fn is_for(&self, platform: &str) -> bool {
        self.platform.is_empty() || self.platform.split(',').any(|word| means_platform(word.trim(), platform))
    }
}

/// Everything a config depends on within one plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AssemblyKey {
    /// The platform, if its hosts do not get the same options as all others.
    variant: Option<Box<str>>,
    /// The rollouts that change the options.
    options: Cohorts,
    /// Positions in `packs`, and behind them in `offered`.
    packs: Box<[usize]>,
}

/// A secret that hosts may enroll with.
#[derive(Debug, Clone)]
pub struct PlannedSecret {
    pub id: i64,
    pub name: String,
    pub expires_at: Option<Moment>,
    pub has_quota: bool,
    secret: crate::config::Secret,
}

impl Plan {
    /// Reads the plan. The generation is read first, so that a change meanwhile makes it look old, never new.
    pub async fn load(db: &impl ConnectionTrait, now: Moment, built_in: &BuiltInOptions) -> Result<Self> {
        let generation = generations::current(db, generations::SCHEDULE).await?;
        let [app_config, retired] =
            settings::get_several(db, [settings::APP_CONFIG, settings::RETIRED_OPTIONS]).await?;
        let app_config = app_config.unwrap_or_default();
        let agent_options = built_in.in_force(&app_config);
        let (retired, outdated_at) = read_retired(retired)?.at(now);
        let labels = store::named::all::<labels::Entity>(db).await?;
        let builtin = BUILTIN
            .iter()
            .filter_map(|builtin| {
                let row = labels
                    .iter()
                    .find(|label| label.name == builtin.name && label.label_type == LabelTypeWord::Builtin)?;
                Some((row.id, *builtin))
            })
            .collect();
        let secrets = store::secrets::all(db)
            .await?
            .into_iter()
            .map(|row| PlannedSecret {
                id: row.id,
                name: specs::secret_name(row.id, &row.name),
                expires_at: row.expires_at,
                has_quota: row.quota.is_some(),
                secret: crate::config::Secret::new(row.secret),
            })
            .collect();
        let dynamic = labels.iter().filter(|label| is_asked(label)).map(DynamicLabel::of).collect();
        let unknown = labels.iter().filter(|label| specs::label_kind(label).is_none()).count();
        if unknown > 0 {
            tracing::warn!(
                labels = unknown,
                "this version does not know the type of some labels and asks no host about them; upgrade this node"
            );
        }
        let packs = load_packs(db).await?;
        let (rollouts, rollouts_outdated_at) = rollout::load(db, now).await?;
        let outdated_at = outdated_at.min(rollouts_outdated_at);
        let offered = offered(&packs, &rollouts);
        let excludes = |label: &labels::Model| {
            let mut all = packs.iter().chain(offered.iter().map(|offered| &offered.pack));
            all.any(|pack| pack.targets.excluded.contains(&label.id))
        };
        let mut excluded: Vec<ExcludedLabel> =
            labels.iter().filter(|label| excludes(label)).filter_map(ExcludedLabel::of).collect();
        excluded.sort_by_key(|label| label.id);
        Ok(Self {
            number: next_number(),
            generation,
            outdated_at,
            dynamic,
            agent_options,
            retired,
            packs,
            rollouts,
            offered,
            labels: labels.into_iter().map(|label| (label.id, label.name)).collect(),
            builtin,
            secrets,
            excludes_since: excluded.iter().map(|label| label.since).max().unwrap_or(Moment::NEVER),
            excluded,
        })
    }

    /// A plan of these alone.
    #[cfg(test)]
    pub(in crate::fleet) fn of(
        edition: Edition,
        agent_options: Value,
        retired: Retired,
        packs: Vec<PlannedPack>,
    ) -> Self {
        let Edition { generation, outdated_at } = edition;
        Self { number: next_number(), generation, outdated_at, agent_options, retired, packs, ..Self::default() }
    }

    /// The same with these labels.
    #[cfg(test)]
    pub(in crate::fleet) fn with_labels(mut self, ids: impl IntoIterator<Item = i64>) -> Self {
        self.labels = ids.into_iter().map(|id| (id, id.to_string())).collect();
        self
    }

    /// The same with these rollouts.
    #[cfg(test)]
    pub(in crate::fleet) fn with_rollouts(mut self, rollouts: Vec<PlannedRollout>) -> Self {
        self.offered = offered(&self.packs, &rollouts);
        self.rollouts = rollouts;
        self
    }

    pub fn edition(&self) -> Edition {
        Edition { generation: self.generation, outdated_at: self.outdated_at }
    }

    /// Labels of this plan that a later one does not have.
    pub fn labels_gone_in(&self, later: &Self) -> BTreeSet<i64> {
        self.labels.keys().filter(|id| !later.labels.contains_key(id)).copied().collect()
    }

    pub fn label_name(&self, id: i64) -> Option<&str> {
        self.labels.get(&id).map(String::as_str)
    }

    /// Ids and names of all labels, in the order of the ids.
    pub fn labels(&self) -> impl Iterator<Item = (i64, &str)> {
        self.labels.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// The label of this name, whatever its capitals.
    pub fn label_id(&self, name: &str) -> Option<i64> {
        let labels: Vec<(&i64, &String)> = self.labels.iter().collect();
        store::case::best(labels, name, |(_, label)| label).map(|(id, _)| *id)
    }

    /// Labels hosts are asked about, sorted by id.
    pub fn dynamic_labels(&self) -> &[DynamicLabel] {
        &self.dynamic
    }

    pub fn dynamic_label(&self, id: i64) -> Option<&DynamicLabel> {
        self.dynamic.binary_search_by_key(&id, |label| label.id).ok().map(|position| &self.dynamic[position])
    }

    /// When a dynamic label was last created or changed, and every node knew it.
    pub fn newest_label(&self) -> Moment {
        let newest = self.dynamic.iter().map(|label| label.changed_at).max();
        newest.map_or(Moment::NEVER, |changed_at| changed_at.plus(TOLD_WITHIN))
    }

    pub fn builtin_labels(&self) -> &[(i64, BuiltinLabel)] {
        &self.builtin
    }

    /// The enroll secret with this text, also one that is not good any more. Takes the same time whichever matches.
    pub fn secret(&self, given: &str) -> Option<&PlannedSecret> {
        if given.is_empty() {
            return None;
        }
        let mut found = None;
        for planned in &self.secrets {
            if bool::from(planned.secret.reveal().as_bytes().ct_eq(given.as_bytes())) {
                found = Some(planned);
            }
        }
        found
    }

    /// The name of an enroll secret, unless it is gone.
    pub fn secret_name(&self, id: i64) -> Option<&str> {
        self.secrets.iter().find(|secret| secret.id == id).map(|secret| secret.name.as_str())
    }

    /// The pack of this name.
    pub fn pack_named(&self, name: &str) -> Option<&PlannedPack> {
        self.packs.iter().find(|pack| pack.name == name)
    }

    /// Packs that hosts with this assignment get, by name.
    pub fn packs_for(&self, assignment: &Assignment) -> impl Iterator<Item = &PlannedPack> {
        let mut packs: Vec<&PlannedPack> = self.chosen(assignment).filter_map(|position| self.pack(position)).collect();
        packs.sort_by(|one, other| one.name.cmp(&other.name));
        packs.into_iter()
    }

    /// Whether packs exclude labels of which it may not be known whether a host is in them that was asked at this moment last.
    pub fn may_exclude_unknown(&self, asked_at: Moment) -> bool {
        asked_at < self.excludes_since
    }

    /// The assignment of a host with the cohorts it is in, and with the labels that packs exclude and that are not known of it, if
    /// it was asked about labels at this moment last. While there is no rollout, all is known of nearly all hosts, which takes two
    /// comparisons.
    pub fn with_host<'a>(&self, assignment: &'a Assignment, host_id: i64, asked_at: Moment) -> Cow<'a, Assignment> {
        let cohorts = self.cohorts_of(host_id, assignment);
        let unknown_label_ids = self.unknown_of(assignment, asked_at);
        if unknown_label_ids.is_empty() && cohorts.is_empty() {
            return Cow::Borrowed(assignment);
        }
        Cow::Owned(Assignment { unknown_label_ids, cohorts, ..assignment.clone() })
    }

    fn unknown_of(&self, assignment: &Assignment, asked_at: Moment) -> Box<[i64]> {
        if !self.may_exclude_unknown(asked_at) {
            return Box::default();
        }
        let unknown = self.excluded.iter().filter(|label| !label.is_known(&assignment.platform, asked_at));
        unknown.map(|label| label.id).collect()
    }

    /// The assignment of a host with this row and these labels (sorted), with what is not known of it.
    pub fn assignment_of(&self, row: &entity::hosts::Model, label_ids: &[i64]) -> Assignment {
        let assignment =
            Assignment { platform: row.platform.as_str().into(), label_ids: label_ids.into(), ..Assignment::default() };
        self.with_host(&assignment, row.id, row.label_updated_at).into_owned()
    }

    /// Platforms whose hosts do not get the same options as all others.
    pub fn platforms(&self) -> BTreeSet<&str> {
        let own = options::overridden_platforms(&self.agent_options).chain(self.retired.platforms());
        own.map(String::as_str).chain(self.rollouts.iter().flat_map(rollout_platforms)).collect()
    }

    fn has_own_options(&self, assignment: &Assignment) -> bool {
        let platform = &*assignment.platform;
        options::override_for(&self.agent_options, platform).is_some()
            || self.retired.is_apart(platform)
            || self
                .options_rollouts(assignment)
                .any(|(_, rollout, _)| rollout_platforms(rollout).any(|apart| apart == platform))
    }

    /// The options document of hosts with this assignment.
    pub fn options_for(&self, assignment: &Assignment) -> Map<String, Value> {
        let platform = &*assignment.platform;
        let new = self.options_rollouts(assignment).find(|(_, rollout, _)| rollout.is_served());
        let (agent_options, retired) = match new {
            Some((_, _, options)) => (&options.new, &options.retired),
            None => (&self.agent_options, &self.retired),
        };
        let mut document = options::document_for(agent_options, platform).cloned().unwrap_or_default();
        retired.of(platform).put_into(&mut document);
        for (_, rollout, _) in self.options_rollouts(assignment) {
            if let Some(remains) = &rollout.remains {
                remains.of(platform).put_into(&mut document);
            }
        }
        document
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn key(&self, assignment: &Assignment) -> AssemblyKey {
        let options = self.options_rollouts(assignment);
        AssemblyKey {
            variant: self.has_own_options(assignment).then(|| assignment.platform.clone()),
            options: options.fold(Cohorts::default(), |cohorts, (position, ..)| cohorts.with(position)),
            packs: self.chosen(assignment).collect(),
        }
    }

    /// Bytes of the largest of the configs for these assignments, given the bytes of one; each distinct one is looked at once.
    pub fn largest_config<'a>(
        &self,
        assignments: impl Iterator<Item = &'a Assignment>,
        bytes_of: impl Fn(&Assignment) -> usize,
    ) -> usize {
        let mut distinct = HashSet::new();
        let distinct = assignments.filter(|assignment| distinct.insert(self.key(assignment)));
        distinct.map(bytes_of).max().unwrap_or(0)
    }

    /// Assembles the config for an assignment.
    pub fn assemble(&self, assignment: &Assignment) -> Assembled {
        assemble::assemble(self.options_for(assignment), self.packs_for(assignment))
    }
}

fn next_number() -> u64 {
    PLANS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Whether hosts are asked for their membership of a label.
fn is_asked(label: &labels::Model) -> bool {
    match (&label.label_type, &label.membership_type) {
        (LabelTypeWord::Regular, MembershipWord::Dynamic) => true,
        // Members of a built-in label follow from the platform of the host.
        (LabelTypeWord::Builtin, MembershipWord::Dynamic) => false,
        (LabelTypeWord::Regular | LabelTypeWord::Builtin, MembershipWord::Manual) => false,
        // Nodes of the version that made the label decide about its members.
        (LabelTypeWord::Unknown(_), MembershipWord::Dynamic | MembershipWord::Manual | MembershipWord::Unknown(_))
        | (LabelTypeWord::Regular | LabelTypeWord::Builtin, MembershipWord::Unknown(_)) => false,
    }
}

/// Agent options that were removed and that hosts may still have, the oldest ones included.
pub async fn load_retired(db: &impl ConnectionTrait) -> Result<Retired> {
    read_retired(settings::get(db, settings::RETIRED_OPTIONS).await?)
}

fn read_retired(stored: Option<Value>) -> Result<Retired> {
    let Some(stored) = stored else { return Ok(Retired::default()) };
    let retired = serde_json::from_value(stored).map_err(|error| Error::Corrupt {
        table: "settings",
        key: settings::RETIRED_OPTIONS.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(retired)
}

async fn load_packs(db: &impl ConnectionTrait) -> Result<Vec<PlannedPack>> {
    let mut targets = store::packs::all_targets(db).await?;
    let mut scheduled: HashMap<i64, Vec<ScheduledQuery>> = HashMap::new();
    for store::packs::ScheduledSql { scheduled: row, sql } in store::packs::all_scheduled_sql(db).await? {
        let Some(sql) = sql else {
            let reason = format!("names query {}, which is not there", row.query_id);
            return Err(Error::Corrupt { table: "scheduled_queries", key: row.id.to_string(), reason }.into());
        };
        scheduled.entry(row.pack_id).or_default().push(ScheduledQuery {
            name: row.name,
            sql,
            interval_secs: row.interval_secs,
            snapshot: row.snapshot,
            removed: row.removed,
            denylist: row.denylist,
            shard: row.shard,
            platform: row.platform,
            version: row.version,
        });
    }
    let mut packs = Vec::new();
    for row in store::named::all::<entity::packs::Entity>(db).await? {
        let mut queries = scheduled.remove(&row.id).unwrap_or_default();
        queries.sort_by(|a, b| a.name.cmp(&b.name));
        let targets = targets.remove(&row.id).unwrap_or_default();
        packs.push(PlannedPack::of(row, targets, queries)?);
    }
    packs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packs)
}
