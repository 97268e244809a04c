//! When hosts were last seen, by pages, and which nodes read these. Nodes of older versions leave their version empty.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, drop_tables, long_bytes, moment, number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "seen_pages")
                    .col(ColumnDef::new("page").big_integer().not_null().primary_key())
                    .col(long_bytes(manager, "seconds"))
                    .col(number("revision"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        add_column(manager, "replicas", ColumnDef::new("version").string_len(64).null().take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "replicas", "version").await?;
        drop_tables(manager, &["seen_pages"]).await
    }
}
