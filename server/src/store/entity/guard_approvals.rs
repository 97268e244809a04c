use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// What became of a request for a second person.
    ApprovalWord {
        Open = "open",
        Granted = "granted",
        Denied = "denied",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "guard_approvals")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// SHA-256, in letters, of all that is approved and of who asks.
    pub mark: String,
    /// What the SQL is for.
    pub sql_use: String,
    pub asked_by_id: i64,
    pub asked_by: String,
    pub asked_at: Moment,
    pub expires_at: Moment,
    pub state: ApprovalWord,
    pub decided_by: Option<String>,
    pub decided_at: Moment,
    /// What the guard says: a list of texts, as JSON.
    #[sea_orm(column_type = "Text")]
    pub findings: String,
    #[sea_orm(column_type = "Text")]
    pub query: String,
    /// Names of the rules: a list of texts, as JSON. `None` if a node of an older version has added it.
    #[sea_orm(column_type = "Text", nullable)]
    pub rules: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
