//! How long enroll secrets are good, for how many hosts and when they were used last; and which labels hosts of a pack must
//! have all of, or none of. Servers of older versions leave the columns empty, and do not see these labels.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, drop_tables, number, optional_number, table};

const SECRETS: &str = "enroll_secrets";
const PACK_LABELS: &str = "pack_label_conditions";

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["expires_at", "quota", "last_used_at"] {
            add_column(manager, SECRETS, optional_number(name)).await?;
        }
        add_column(manager, SECRETS, number("hosts_enrolled")).await?;
        manager
            .create_table(
                // Not more columns of `pack_labels`: an older server would give the pack to those who must not get it.
                table(manager, PACK_LABELS)
                    .col(ColumnDef::new("pack_id").big_integer().not_null())
                    .col(ColumnDef::new("label_id").big_integer().not_null())
                    .col(ColumnDef::new("condition_word").string_len(16).not_null())
                    .primary_key(Index::create().col("pack_id").col("label_id"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &[PACK_LABELS]).await?;
        for name in ["hosts_enrolled", "last_used_at", "quota", "expires_at"] {
            drop_column(manager, SECRETS, name).await?;
        }
        Ok(())
    }
}
