//! The names by which operators list the hosts of manual labels, also of hosts that are not there.

use sea_orm_migration::prelude::*;

use crate::columns::{NAME_LENGTH, drop_tables, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "label_host_names")
                    .col(ColumnDef::new("label_id").big_integer().not_null())
                    .col(ColumnDef::new("name").string_len(NAME_LENGTH).not_null())
                    .primary_key(Index::create().col("label_id").col("name"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["label_host_names"]).await
    }
}
