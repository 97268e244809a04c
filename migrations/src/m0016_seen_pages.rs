//! When hosts were last seen, by pages, and which nodes live that read these. Nodes of older versions leave
//! empty when they were alive.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, drop_tables, long_bytes, moment, number, optional_number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "seen_pages")
                    .col(ColumnDef::new("page").big_integer().not_null().primary_key())
                    .col(number("revision"))
                    .col(moment("updated_at"))
                    // Last, so that SQLite reads the others without it.
                    .col(long_bytes(manager, "seconds"))
                    .take(),
            )
            .await?;
        add_column(manager, "replicas", optional_number("alive_at")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "replicas", "alive_at").await?;
        drop_tables(manager, &["seen_pages"]).await
    }
}
