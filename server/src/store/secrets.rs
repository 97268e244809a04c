//! Secrets agents enroll with. They are kept readable, because operators must be able to hand them out.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Set, Unchanged,
};

use super::entity::{enroll_secrets, hosts};
use super::{Result, Tx};
use crate::clock::Moment;

/// What an operator says of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretTerms {
    /// Empty for none.
    pub name: String,
    pub expires_at: Option<Moment>,
    /// Most hosts that may enroll with it.
    pub quota: Option<i64>,
}

impl From<&enroll_secrets::Model> for SecretTerms {
    fn from(row: &enroll_secrets::Model) -> Self {
        Self { name: row.name.clone(), expires_at: row.expires_at, quota: row.quota }
    }
}

pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<enroll_secrets::Model>> {
    Ok(enroll_secrets::Entity::find().order_by_asc(enroll_secrets::Column::Id).all(db).await?)
}

pub async fn insert(db: &impl ConnectionTrait, secret: &str, terms: SecretTerms, now: Moment) -> Result<()> {
    let row = enroll_secrets::ActiveModel {
        secret: Set(secret.to_owned()),
        name: Set(terms.name),
        created_at: Set(now),
        expires_at: Set(terms.expires_at),
        quota: Set(terms.quota),
        ..Default::default()
    };
    enroll_secrets::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Changes what is said of a secret. One that had no quota and gets one has the hosts counted that enrolled with it last.
pub async fn change(db: &impl ConnectionTrait, row: &enroll_secrets::Model, terms: SecretTerms) -> Result<()> {
    let mut changed = enroll_secrets::ActiveModel { id: Unchanged(row.id), ..Default::default() };
    if row.quota.is_none() && terms.quota.is_some() {
        let enrolled = hosts::Entity::find().filter(hosts::Column::EnrollSecretId.eq(row.id)).count(db).await?;
        changed.hosts_enrolled = Set(i64::try_from(enrolled).unwrap_or(i64::MAX));
    }
    changed.name = Set(terms.name);
    changed.expires_at = Set(terms.expires_at);
    changed.quota = Set(terms.quota);
    changed.update(db).await?;
    Ok(())
}

pub async fn delete(db: &impl ConnectionTrait, ids: Vec<i64>) -> Result<()> {
    if !ids.is_empty() {
        enroll_secrets::Entity::delete_many().filter(enroll_secrets::Column::Id.is_in(ids)).exec(db).await?;
    }
    Ok(())
}

/// For how many more hosts these secrets are good, by id; those that are gone are left out. Nobody else enrolls a host that counts
/// with one of them until the transaction is over.
pub async fn locked_places(tx: &Tx, ids: Vec<i64>) -> Result<BTreeMap<i64, i64>> {
    let rows = enroll_secrets::Entity::find()
        .filter(enroll_secrets::Column::Id.is_in(ids))
        // Sorted by id, as all who lock several rows do.
        .order_by_asc(enroll_secrets::Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    let left = |row: &enroll_secrets::Model| row.quota.map_or(i64::MAX, |quota| quota - row.hosts_enrolled);
    Ok(rows.into_iter().map(|row| (row.id, left(&row))).collect())
}

/// Counts hosts that have enrolled with a secret.
pub async fn add_enrolled(tx: &Tx, id: i64, hosts: i64) -> Result<()> {
    let count = Expr::col(enroll_secrets::Column::HostsEnrolled).add(hosts);
    enroll_secrets::Entity::update_many()
        .col_expr(enroll_secrets::Column::HostsEnrolled, count)
        .filter(enroll_secrets::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Writes when a secret was used last, unless it was used later.
pub async fn mark_used(db: &impl ConnectionTrait, id: i64, at: Moment) -> Result<()> {
    let last = enroll_secrets::Column::LastUsedAt;
    enroll_secrets::Entity::update_many()
        .col_expr(last, Expr::value(at))
        .filter(enroll_secrets::Column::Id.eq(id))
        .filter(last.is_null().or(last.lt(at)))
        .exec(db)
        .await?;
    Ok(())
}
