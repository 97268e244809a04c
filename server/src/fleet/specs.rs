//! The documents of the current state; applying them again changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use muster_api::spec::{
    EnrollSecretSpec, GlobalScheduleSpec, HostQuota, LabelMembership, LabelSpec, LabelType, PackQuery, PackSpec,
    PackTargets, QuerySpec, SecretSpec, expiry_text,
};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde_json::{Value, json};

use super::access::{Permission, Principal};
use super::packs::GLOBAL;
use super::schedule::{BuiltInOptions, Schedule};
use super::{Error, Result};
use crate::store::entity::enroll_secrets::Model as Secret;
use crate::store::entity::labels::{LabelTypeWord, MembershipWord};
use crate::store::packs::TargetLabels;
use crate::store::{self, Store, entity, settings};

/// Reads documents.
#[derive(Debug, Clone)]
pub struct Specs {
    store: Store,
    schedule: Arc<Schedule>,
}

impl Specs {
    pub fn new(store: Store, schedule: Arc<Schedule>) -> Self {
        Self { store, schedule }
    }

    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read queries.
    pub async fn queries(&self, principal: &Principal) -> Result<Vec<QuerySpec>> {
        principal.may(Permission::ReadQueries)?;
        queries(self.store.reader()).await
    }

    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read packs.
    pub async fn packs(&self, principal: &Principal) -> Result<Vec<PackSpec>> {
        principal.may(Permission::ReadPacks)?;
        packs(self.store.reader()).await
    }

    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read labels.
    pub async fn labels(&self, principal: &Principal) -> Result<Vec<LabelSpec>> {
        principal.may(Permission::ReadLabels)?;
        labels(self.store.reader()).await
    }

    /// The query of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] to users without the permission to read queries.
    pub async fn query(&self, principal: &Principal, name: &str) -> Result<QuerySpec> {
        principal.may(Permission::ReadQueries)?;
        let row = store::named::by_name::<entity::queries::Entity>(self.store.reader(), name).await?;
        row.map(query_spec).ok_or_else(|| no_such("Query", name))
    }

    /// The pack of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] to users without the permission to read packs.
    pub async fn pack(&self, principal: &Principal, name: &str) -> Result<PackSpec> {
        principal.may(Permission::ReadPacks)?;
        let db = self.store.reader();
        let row = super::packs::named(db, name).await?.ok_or_else(|| no_such("Pack", name))?;
        whole_pack(db, row).await
    }

    /// The label of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] to users without the permission to read labels.
    pub async fn label(&self, principal: &Principal, name: &str) -> Result<LabelSpec> {
        principal.may(Permission::ReadLabels)?;
        let db = self.store.reader();
        let row = store::named::by_name::<entity::labels::Entity>(db, name).await?;
        let spec = row.and_then(label_spec).ok_or_else(|| no_such("Label", name))?;
        let mut hosts = host_names(db, spec.id).await?;
        Ok(with_hosts(spec, &mut hosts))
    }

    /// The global schedule; empty until a query is in it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read packs.
    pub async fn global_schedule(&self, principal: &Principal) -> Result<GlobalScheduleSpec> {
        principal.may(Permission::ReadPacks)?;
        let db = self.store.reader();
        let Some(row) = store::named::by_name::<entity::packs::Entity>(db, GLOBAL).await? else {
            return Ok(GlobalScheduleSpec::default());
        };
        Ok(GlobalScheduleSpec { queries: whole_pack(db, row).await?.queries })
    }

    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read enroll secrets.
    pub async fn enroll_secrets(&self, principal: &Principal) -> Result<EnrollSecretSpec> {
        let name = |row: &Secret| (!row.name.is_empty()).then(|| row.name.clone());
        self.secrets(principal, |row| SecretSpec { name: name(row), ..SecretSpec::default() }).await
    }

    /// Enroll secrets as clients of Fleet 3.x know them: each has a name and is active.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read enroll secrets.
    pub async fn active_enroll_secrets(&self, principal: &Principal) -> Result<EnrollSecretSpec> {
        let name = |row: &Secret| Some(secret_name(row.id, &row.name));
        self.secrets(principal, |row| SecretSpec { name: name(row), active: Some(true), ..SecretSpec::default() }).await
    }

    async fn secrets(&self, principal: &Principal, show: impl Fn(&Secret) -> SecretSpec) -> Result<EnrollSecretSpec> {
        principal.may(Permission::ReadSecrets)?;
        let rows = store::secrets::all(self.store.reader()).await?;
        let show = |row: Secret| SecretSpec {
            created_at: Some(row.created_at.to_utc()),
            expires_at: row.expires_at.map(|end| expiry_text(end.to_utc())),
            hosts_enrolled: row.quota.map(|_| u64::try_from(row.hosts_enrolled).unwrap_or(0)),
            last_used_at: row.last_used_at.map(|at| at.to_utc()),
            quota: row.quota.map(|quota| HostQuota::Hosts(u32::try_from(quota).unwrap_or(u32::MAX))),
            secret: row.secret.clone(),
            ..show(&row)
        };
        Ok(EnrollSecretSpec { secrets: rows.into_iter().map(show).collect() })
    }

    /// The agent options.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read the configuration.
    pub async fn agent_options(&self, principal: &Principal) -> Result<Value> {
        principal.may(Permission::ReadConfig)?;
        let stored = settings::get(self.store.reader(), settings::APP_CONFIG).await?;
        Ok(shown_config(&stored.unwrap_or_default(), self.schedule.built_in())["agent_options"].take())
    }

    /// The configuration; only `org_info` for users without the permission to read the rest.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn config(&self, principal: &Principal) -> Result<Value> {
        let stored = settings::get(self.store.reader(), settings::APP_CONFIG).await?;
        let mut config = shown_config(&stored.unwrap_or_default(), self.schedule.built_in());
        if principal.may(Permission::ReadConfig).is_err()
            && let Some(parts) = config.as_object_mut()
        {
            parts.retain(|key, _| key == "org_info");
        }
        Ok(config)
    }
}

pub(super) async fn queries(db: &impl ConnectionTrait) -> Result<Vec<QuerySpec>> {
    let rows = store::named::all::<entity::queries::Entity>(db).await?;
    Ok(rows.into_iter().map(query_spec).collect())
}

pub(super) fn query_spec(row: entity::queries::Model) -> QuerySpec {
    QuerySpec { description: row.description, name: row.name, observer_can_run: row.observer_can_run, query: row.query }
}

fn no_such(kind: &'static str, name: &str) -> Error {
    Error::NotFound { kind, key: name.to_owned() }
}

pub(super) async fn labels(db: &impl ConnectionTrait) -> Result<Vec<LabelSpec>> {
    let mut hosts = host_names(db, None).await?;
    let rows = store::named::all::<entity::labels::Entity>(db).await?;
    Ok(rows.into_iter().filter_map(label_spec).map(|spec| with_hosts(spec, &mut hosts)).collect())
}

/// The names of the hosts of one manual label, or of all.
async fn host_names(db: &impl ConnectionTrait, label_id: Option<i64>) -> Result<BTreeMap<i64, Vec<String>>> {
    let mut names = store::labels::manual_members(db, label_id).await?;
    // As the operator wrote them; labels of older versions have only members.
    names.extend(store::labels::host_names(db, label_id).await?);
    Ok(names)
}

fn with_hosts(mut spec: LabelSpec, hosts: &mut BTreeMap<i64, Vec<String>>) -> LabelSpec {
    spec.hosts = match spec.label_membership_type {
        LabelMembership::Manual => Some(spec.id.and_then(|id| hosts.remove(&id)).unwrap_or_default()),
        LabelMembership::Dynamic => None,
    };
    spec
}

/// The label without its hosts. `None` for a label of another version, which lists leave out.
pub(super) fn label_spec(row: entity::labels::Model) -> Option<LabelSpec> {
    let (label_type, label_membership_type) = label_kind(&row)?;
    Some(LabelSpec {
        hosts: None,
        id: Some(row.id),
        label_membership_type,
        label_type,
        description: row.description,
        name: row.name,
        platform: row.platform,
        query: row.query,
    })
}

/// Type and membership of a label; `None` if this version does not know one of them.
pub(super) fn label_kind(row: &entity::labels::Model) -> Option<(LabelType, LabelMembership)> {
    let label_type = match &row.label_type {
        LabelTypeWord::Regular => LabelType::Regular,
        LabelTypeWord::Builtin => LabelType::Builtin,
        LabelTypeWord::Unknown(_) => return None,
    };
    let membership = match &row.membership_type {
        MembershipWord::Dynamic => LabelMembership::Dynamic,
        MembershipWord::Manual => LabelMembership::Manual,
        MembershipWord::Unknown(_) => return None,
    };
    Some((label_type, membership))
}

pub(super) async fn packs(db: &impl ConnectionTrait) -> Result<Vec<PackSpec>> {
    let labels: HashMap<i64, String> = store::named::all::<entity::labels::Entity>(db)
        .await?
        .into_iter()
        .map(|label| (label.id, label.name))
        .collect();
    let queries: HashMap<i64, String> = store::named::all::<entity::queries::Entity>(db)
        .await?
        .into_iter()
        .map(|query| (query.id, query.name))
        .collect();
    let targets = store::packs::all_targets(db).await?;
    let mut scheduled: HashMap<i64, Vec<PackQuery>> = HashMap::new();
    for row in store::packs::all_scheduled(db).await? {
        if let Some(query) = queries.get(&row.query_id) {
            scheduled.entry(row.pack_id).or_default().push(pack_query(row, query));
        }
    }
    let rows = super::packs::visible(db).await?;
    rows.into_iter()
        .map(|row| {
            let targets = targets.get(&row.id).map(|targets| named_targets(targets, &labels)).unwrap_or_default();
            let queries = scheduled.remove(&row.id).unwrap_or_default();
            Ok(PackSpec { queries, targets, ..pack_spec(row)? })
        })
        .collect()
}

/// The pack with its targets and queries.
pub(super) async fn whole_pack(db: &impl ConnectionTrait, row: entity::packs::Model) -> Result<PackSpec> {
    let targets = store::packs::targets_of(db, row.id).await?;
    let label_ids = [&targets.any[..], &targets.all, &targets.excluded].concat();
    let labels = store::labels::by_ids(db, &label_ids).await?.into_iter().map(|label| (label.id, label.name)).collect();
    let targets = named_targets(&targets, &labels);
    let queries = store::packs::scheduled_names(db, row.id).await?;
    let queries = queries.into_iter().map(|named| pack_query(named.scheduled, &named.query)).collect();
    Ok(PackSpec { queries, targets, ..pack_spec(row)? })
}

/// Targets as documents name them.
fn named_targets(targets: &TargetLabels, labels: &HashMap<i64, String>) -> PackTargets {
    let names = |ids: &[i64]| {
        let mut names: Vec<String> = ids.iter().filter_map(|id| labels.get(id).cloned()).collect();
        names.sort_unstable();
        names
    };
    PackTargets {
        labels: names(&targets.any),
        labels_exclude_any: names(&targets.excluded),
        labels_include_all: names(&targets.all),
        ..PackTargets::default()
    }
}

/// The pack of an id as it stands in a transaction, to be compared.
pub(super) async fn pack_value(db: &impl ConnectionTrait, id: i64) -> Result<Option<Value>> {
    let Some(row) = store::named::by_id::<entity::packs::Entity>(db, id).await? else { return Ok(None) };
    Ok(Some(to_value(&whole_pack(db, row).await?)?))
}

/// The pack without its targets and queries.
pub(super) fn pack_spec(row: entity::packs::Model) -> Result<PackSpec> {
    let discovery = serde_json::from_str(&row.discovery).map_err(|error| store::Error::Corrupt {
        table: "packs",
        key: row.name.clone(),
        reason: error.to_string(),
    })?;
    Ok(PackSpec {
        queries: Vec::new(),
        targets: PackTargets::default(),
        description: row.description,
        disabled: row.disabled,
        discovery,
        id: Some(row.id),
        name: row.name,
        platform: row.platform,
        shard: row.shard.and_then(|shard| u8::try_from(shard).ok()),
        version: row.version,
    })
}

pub(super) fn pack_query(row: entity::scheduled_queries::Model, query: &str) -> PackQuery {
    PackQuery {
        denylist: row.denylist,
        description: row.description,
        interval: u32::try_from(row.interval_secs).unwrap_or(0),
        name: if row.name == query { String::new() } else { row.name },
        platform: row.platform,
        query: query.to_owned(),
        removed: row.removed,
        shard: row.shard.and_then(|shard| u8::try_from(shard).ok()),
        snapshot: row.snapshot,
        version: row.version,
    }
}

/// The name of an enroll secret, or one made of its id if the operator gave none.
pub(super) fn secret_name(id: i64, given: &str) -> String {
    if given.is_empty() { format!("secret-{id}") } else { given.to_owned() }
}

/// A stored configuration with defaults for what is not set.
pub(super) fn shown_config(stored: &Value, built_in: &BuiltInOptions) -> Value {
    let mut config = json!({
        "org_info": { "org_name": "", "org_logo_url": "" },
        "server_settings": { "server_url": "" },
        "host_expiry_settings": { "host_expiry_enabled": false, "host_expiry_window": 0 },
    });
    for (part, value) in stored.as_object().into_iter().flatten() {
        match (&mut config[part], value) {
            (Value::Object(defaults), Value::Object(values)) => defaults.extend(values.clone()),
            (default, value) => *default = value.clone(),
        }
    }
    config["agent_options"] = built_in.in_force(stored);
    config.sort_all_objects();
    config
}

pub(super) fn to_value(spec: &impl Serialize) -> Result<Value> {
    serde_json::to_value(spec).map_err(|error| Error::Internal(Box::new(error)))
}
