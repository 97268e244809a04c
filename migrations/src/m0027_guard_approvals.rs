//! SQL that waits for a second person, because the table guard asks for one.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, id, index, long_text, moment, name, number, optional_name, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut approvals = table(manager, "guard_approvals");
        approvals
            .col(id())
            .col(ColumnDef::new("mark").string_len(64).not_null())
            .col(ColumnDef::new("sql_use").string_len(32).not_null())
            .col(number("asked_by_id"))
            .col(name("asked_by"))
            .col(moment("asked_at"))
            .col(moment("expires_at"))
            .col(ColumnDef::new("state").string_len(32).not_null())
            .col(optional_name("decided_by"))
            .col(moment("decided_at"))
            .col(long_text(manager, "findings"))
            .col(long_text(manager, "query"));
        manager.create_table(approvals.take()).await?;
        index(manager, "guard_approvals", &["mark"], true).await?;
        index(manager, "guard_approvals", &["expires_at"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["guard_approvals"]).await
    }
}
