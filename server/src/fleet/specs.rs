//! The documents of the current state; applying them again changes nothing.

use std::collections::{BTreeMap, HashMap};

use muster_api::spec::{
    EnrollSecretSpec, LabelMembership, LabelSpec, LabelType, PackQuery, PackSpec, PackTargets, QuerySpec, SecretSpec,
};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde_json::{Value, json};

use super::access::{Permission, Principal};
use super::schedule::default_agent_options;
use super::{Error, Result};
use crate::store::entity::labels::{LabelTypeWord, MembershipWord};
use crate::store::{self, Store, entity, settings};

/// Reads documents.
#[derive(Debug, Clone)]
pub struct Specs {
    store: Store,
}

impl Specs {
    pub fn new(store: Store) -> Self {
        Self { store }
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

    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read enroll secrets.
    pub async fn enroll_secrets(&self, principal: &Principal) -> Result<EnrollSecretSpec> {
        principal.may(Permission::ReadSecrets)?;
        secrets(self.store.reader()).await
    }

    /// The agent options.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read the configuration.
    pub async fn agent_options(&self, principal: &Principal) -> Result<Value> {
        principal.may(Permission::ReadConfig)?;
        Ok(app_config(self.store.reader()).await?["agent_options"].take())
    }

    /// The configuration; only `org_info` for users without the permission to read the rest.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn config(&self, principal: &Principal) -> Result<Value> {
        let mut config = app_config(self.store.reader()).await?;
        if principal.may(Permission::ReadConfig).is_err()
            && let Some(parts) = config.as_object_mut()
        {
            parts.retain(|key, _| key == "org_info");
        }
        Ok(config)
    }
}

/// Finds the spec of this name.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub fn named<T>(specs: Vec<T>, kind: &'static str, name: &str, name_of: impl Fn(&T) -> &str) -> Result<T> {
    let found = specs.into_iter().find(|spec| name_of(spec) == name);
    found.ok_or_else(|| Error::NotFound { kind, key: name.to_owned() })
}

pub(super) async fn queries(db: &impl ConnectionTrait) -> Result<Vec<QuerySpec>> {
    let rows = store::queries::all(db).await?;
    Ok(rows.into_iter().map(query_spec).collect())
}

pub(super) fn query_spec(row: entity::queries::Model) -> QuerySpec {
    QuerySpec { description: row.description, name: row.name, observer_can_run: row.observer_can_run, query: row.query }
}

pub(super) async fn labels(db: &impl ConnectionTrait) -> Result<Vec<LabelSpec>> {
    let mut members: BTreeMap<i64, Vec<String>> = store::labels::manual_members(db).await?;
    let rows = store::labels::all(db).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let mut members = members.remove(&row.id);
            let spec = label_spec(row)?;
            let hosts = match spec.label_membership_type {
                LabelMembership::Manual => Some(members.take().unwrap_or_default()),
                LabelMembership::Dynamic => None,
            };
            Some(LabelSpec { hosts, ..spec })
        })
        .collect())
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
    let labels: HashMap<i64, String> =
        store::labels::all(db).await?.into_iter().map(|label| (label.id, label.name)).collect();
    let queries: HashMap<i64, String> =
        store::queries::all(db).await?.into_iter().map(|query| (query.id, query.name)).collect();
    let mut targets: HashMap<i64, Vec<String>> = HashMap::new();
    for target in store::packs::all_targets(db).await? {
        if let Some(label) = labels.get(&target.label_id) {
            targets.entry(target.pack_id).or_default().push(label.clone());
        }
    }
    let mut scheduled: HashMap<i64, Vec<PackQuery>> = HashMap::new();
    for row in store::packs::all_scheduled(db).await? {
        if let Some(query) = queries.get(&row.query_id) {
            scheduled.entry(row.pack_id).or_default().push(pack_query(row, query));
        }
    }
    let rows = super::packs::visible(db).await?;
    rows.into_iter()
        .map(|row| {
            let mut labels = targets.remove(&row.id).unwrap_or_default();
            labels.sort_unstable();
            let queries = scheduled.remove(&row.id).unwrap_or_default();
            Ok(PackSpec { queries, targets: PackTargets { labels, teams: Vec::new() }, ..pack_spec(row)? })
        })
        .collect()
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

pub(super) async fn secrets(db: &impl ConnectionTrait) -> Result<EnrollSecretSpec> {
    let rows = store::secrets::all(db).await?;
    let secrets = rows
        .into_iter()
        .map(|row| SecretSpec { created_at: Some(row.created_at.to_utc()), secret: row.secret })
        .collect();
    Ok(EnrollSecretSpec { secrets })
}

/// The configuration with defaults for the parts that are not set.
pub(super) async fn app_config(db: &impl ConnectionTrait) -> Result<Value> {
    let mut config = settings::get(db, settings::APP_CONFIG).await?.unwrap_or_else(|| json!({}));
    if let Some(parts) = config.as_object_mut() {
        parts.entry("agent_options").or_insert_with(default_agent_options);
        parts.entry("org_info").or_insert_with(|| json!({ "org_name": "", "org_logo_url": "" }));
        parts.entry("server_settings").or_insert_with(|| json!({ "server_url": "" }));
    }
    config.sort_all_objects();
    Ok(config)
}

pub(super) fn to_value(spec: &impl Serialize) -> Result<Value> {
    serde_json::to_value(spec).map_err(|error| Error::Internal(Box::new(error)))
}
