//! Live queries as jobs, with what became of each target as of the last checkpoint.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, id, index, long_bytes, long_text, moment, name, optional_number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "live_queries")
                    .col(id())
                    .col(long_text(manager, "query"))
                    .col(name("query_name"))
                    .col(optional_number("author_id"))
                    .col(name("author_email"))
                    .col(moment("created_at"))
                    .col(moment("deadline"))
                    .col(optional_number("finished_at"))
                    .col(name("status"))
                    .col(long_text(manager, "stop_reason"))
                    .col(long_bytes(manager, "states"))
                    .take(),
            )
            .await?;
        index(manager, "live_queries", &["status"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["live_queries"]).await
    }
}
