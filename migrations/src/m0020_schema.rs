//! Which tables and columns agents have: what some hosts of each version and platform have said, and each distinct set of
//! tables once.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, hash_key, index, long_bytes, moment, name, number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut reports = table(manager, "schema_reports");
        reports
            .col(ColumnDef::new("host_id").big_integer().not_null().primary_key())
            .col(name("platform"))
            .col(name("version"))
            .col(name("address"))
            .col(number("picks"))
            .col(moment("picked_at"))
            .col(moment("asked_at"))
            .col(moment("reported_at"))
            .col(ColumnDef::new("set_hash").var_binary(32).null());
        manager.create_table(reports.take()).await?;
        index(manager, "schema_reports", &["picked_at"], false).await?;
        let mut sets = table(manager, "table_sets");
        // Last, so that SQLite reads the others without it.
        sets.col(hash_key("set_hash")).col(moment("used_at")).col(long_bytes(manager, "tables"));
        manager.create_table(sets.take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["table_sets", "schema_reports"]).await
    }
}
