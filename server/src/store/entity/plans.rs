use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// Documents that can be applied as long as that changes what it would have changed when they were tried.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plans")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub created_at: Moment,
    pub expires_at: Moment,
    pub author_email: String,
    /// Whether agent options with mistakes are taken.
    pub is_forced: bool,
    /// Whether what no document names is deleted.
    pub deletes_unnamed: bool,
    /// Bytes of `outcome`, `documents` and `shown`.
    pub bytes: i64,
    /// What the apply would change, as JSON.
    #[sea_orm(column_type = "Text")]
    pub outcome: String,
    /// JSON. May hold enroll secrets.
    #[sea_orm(column_type = "Text")]
    pub documents: String,
    /// What whoever made it was shown, as JSON. `None` if a node of an older version has added it.
    #[sea_orm(column_type = "Text", nullable)]
    pub shown: Option<String>,
    /// The numbers of that, as JSON.
    pub summary: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
