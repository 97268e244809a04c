use sea_orm::entity::prelude::*;

use crate::clock::Moment;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enroll_secrets")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub secret: String,
    /// Empty if the operator gave none.
    pub name: String,
    pub created_at: Moment,
    /// From then on no host may enroll with it.
    pub expires_at: Option<Moment>,
    /// Most hosts that may enroll with it.
    pub quota: Option<i64>,
    /// Hosts that have enrolled with it, counted while it has a quota.
    pub hosts_enrolled: i64,
    pub last_used_at: Option<Moment>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
