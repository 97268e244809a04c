use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// What happened to a host.
    HostChangeKind {
        /// Its labels, platform or name changed.
        Changed = "changed",
        /// Keys of it were deleted or moved to another host.
        Keys = "keys",
        /// It enrolled again.
        Enrolled = "enrolled",
        /// An operator wants all its details asked again.
        Refetch = "refetch",
        Deleted = "deleted",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_changes")]
pub struct Model {
    /// The position in the feed. Rows become visible when they are committed, so not always in this order.
    #[sea_orm(primary_key)]
    pub id: i64,
    pub host_id: i64,
    pub kind: HostChangeKind,
    pub changed_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
