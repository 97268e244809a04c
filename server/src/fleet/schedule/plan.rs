use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::ConnectionTrait;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::assemble::{self, Assembled};
use super::retired::Retired;
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
    /// Sorted by name.
    pub packs: Vec<PlannedPack>,
    labels: BTreeMap<i64, String>,
    dynamic: Vec<DynamicLabel>,
    builtin: Vec<(i64, BuiltinLabel)>,
    secrets: Vec<PlannedSecret>,
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
    /// Positions in `packs`.
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
        Ok(Self {
            number: next_number(),
            generation,
            outdated_at,
            dynamic,
            agent_options,
            retired,
            packs: load_packs(db).await?,
            labels: labels.into_iter().map(|label| (label.id, label.name)).collect(),
            builtin,
            secrets,
        })
    }

    /// A plan of these alone.
    #[cfg(test)]
    pub(in crate::fleet) fn of(
        edition: Edition,
        agent_options: Value,
        retired: Retired,
        packs: Vec<PlannedPack>,
                expires_at: row.expires_at,
                has_quota: row.quota.is_some(),
    ) -> Self {
        let Edition { generation, outdated_at } = edition;
        Self { number: next_number(), generation, outdated_at, agent_options, retired, packs, ..Self::default() }
    }

    /// The same with these labels.
    #[cfg(test)]
    pub(super) fn with_labels(mut self, ids: impl IntoIterator<Item = i64>) -> Self {
        self.labels = ids.into_iter().map(|id| (id, id.to_string())).collect();
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

    /// When a dynamic label was last created or changed.
    pub fn newest_label(&self) -> Moment {
        self.dynamic.iter().map(|label| label.changed_at).max().unwrap_or(Moment::NEVER)
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

    /// Packs that hosts with these labels (sorted) get, by name.
    pub fn packs_for<'a>(&'a self, label_ids: &'a [i64]) -> impl Iterator<Item = &'a PlannedPack> {
        self.packs.iter().filter(|pack| pack.targets(label_ids))
    }

    /// Platforms whose hosts do not get the same options as all others.
    pub fn platforms(&self) -> BTreeSet<&str> {
        options::overridden_platforms(&self.agent_options).chain(self.retired.platforms()).map(String::as_str).collect()
    }

    fn has_own_options(&self, platform: &str) -> bool {
        options::override_for(&self.agent_options, platform).is_some() || self.retired.is_apart(platform)
    }

    /// The options document for a platform.
    pub fn options_for(&self, platform: &str) -> Map<String, Value> {
        let mut document = options::document_for(&self.agent_options, platform).cloned().unwrap_or_default();
        self.retired.of(platform).put_into(&mut document);
        document
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn key(&self, assignment: &Assignment) -> AssemblyKey {
        AssemblyKey {
            variant: self.has_own_options(&assignment.platform).then(|| assignment.platform.clone()),
            packs: (0..self.packs.len()).filter(|i| self.packs[*i].targets(&assignment.label_ids)).collect(),
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
        assemble::assemble(self.options_for(&assignment.platform), self.packs_for(&assignment.label_ids))
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
    let mut targets: HashMap<i64, Vec<i64>> = HashMap::new();
    for target in store::packs::all_targets(db).await? {
        targets.entry(target.pack_id).or_default().push(target.label_id);
    }
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
        let mut label_ids = targets.remove(&row.id).unwrap_or_default();
        label_ids.sort_unstable();
        packs.push(PlannedPack::of(row, label_ids, queries)?);
    }
    packs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packs)
}
