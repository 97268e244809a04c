//! Questions a host is not asked any more, because they seem to stop its agent.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, long_text, moment, number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "parked_queries")
                    .col(number("host_id"))
                    .col(ColumnDef::new("name").string_len(64).not_null())
                    .col(long_text(manager, "reason"))
                    .col(moment("parked_at"))
                    .primary_key(Index::create().col("host_id").col("name"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["parked_queries"]).await
    }
}
