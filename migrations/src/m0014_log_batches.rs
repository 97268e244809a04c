//! The last log batches a node remembers, written when it stops and read when it starts.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, id, long_bytes, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(table(manager, "log_batches").col(id()).col(long_bytes(manager, "batches")).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["log_batches"]).await
    }
}
