//! What several servers over one database tell each other: changes of hosts, who leads, and who is there.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, drop_tables, id, index, moment, number, optional_number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "host_changes")
                    .col(id())
                    .col(number("host_id"))
                    .col(ColumnDef::new("kind").string_len(16).not_null())
                    .col(moment("changed_at"))
                    .take(),
            )
            .await?;
        index(manager, "host_changes", &["changed_at"], false).await?;
        manager
            .create_table(
                table(manager, "leases")
                    .col(ColumnDef::new("name").string_len(64).not_null().primary_key())
                    .col(ColumnDef::new("holder").string_len(64).not_null())
                    .col(moment("expires_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                table(manager, "replicas")
                    .col(ColumnDef::new("id").string_len(64).not_null().primary_key())
                    .col(moment("written_at"))
                    .take(),
            )
            .await?;
        add_column(manager, "node_keys", optional_number("first_used_at")).await?;
        add_column(manager, "hosts", open_round(manager)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["replicas", "leases", "host_changes"]).await?;
        drop_column(manager, "hosts", "open_round").await?;
        drop_column(manager, "node_keys", "first_used_at").await
    }
}

fn open_round(manager: &SchemaManager<'_>) -> ColumnDef {
    let mut column = ColumnDef::new("open_round");
    if manager.get_database_backend() == sea_orm_migration::sea_orm::DatabaseBackend::MySql {
        column.custom("longtext");
    } else {
        column.text();
    }
    column.null().take()
}
