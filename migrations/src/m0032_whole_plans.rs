//! Plans that also delete what no document names. A server of an older version does not see the column, would delete less than the
//! plan says, and so refuses to apply it.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, flag};

const PLANS: &str = "plans";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, PLANS, flag("deletes_unnamed")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, PLANS, "deletes_unnamed").await
    }
}
