//! Finds hosts by what they are called whatever the capitals, and the keys of one agent instance without reading those
//! of others. The databases keep the new columns by themselves, so servers of older versions go on writing beside it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseBackend, Statement};

use crate::columns::{NAME_LENGTH, index};

/// Columns by which hosts are named, and those that hold them without capitals.
const NAMES: [(&str, &str); 4] = [
    ("identifier", "identifier_fold"),
    ("uuid", "uuid_fold"),
    ("hostname", "hostname_fold"),
    ("computer_name", "computer_name_fold"),
];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (column, fold) in NAMES {
            if !has_column(manager, fold).await? {
                let kind = match manager.get_database_backend() {
                    DatabaseBackend::MySql => {
                        format!("varchar({NAME_LENGTH}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
                    }
                    _ => "text".to_owned(),
                };
                let sql =
                    format!("ALTER TABLE hosts ADD COLUMN {fold} {kind} GENERATED ALWAYS AS (LOWER({column})) VIRTUAL");
                manager.get_connection().execute_unprepared(&sql).await?;
            }
            index(manager, "hosts", &[fold], false).await?;
        }
        index(manager, "node_keys", &["host_id", "instance_id"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "node_keys", "node_keys_host_id_instance_id").await?;
        for (_, fold) in NAMES {
            drop_index(manager, "hosts", &format!("hosts_{fold}")).await?;
            if has_column(manager, fold).await? {
                manager.get_connection().execute_unprepared(&format!("ALTER TABLE hosts DROP COLUMN {fold}")).await?;
            }
        }
        Ok(())
    }
}

/// As the manager's, which does not see generated columns on SQLite.
async fn has_column(manager: &SchemaManager<'_>, column: &str) -> Result<bool, DbErr> {
    if manager.get_database_backend() != DatabaseBackend::Sqlite {
        return manager.has_column("hosts", column).await;
    }
    let sql = "SELECT 1 FROM pragma_table_xinfo('hosts') WHERE name = ?";
    let statement = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [column.into()]);
    Ok(manager.get_connection().query_one_raw(statement).await?.is_some())
}

async fn drop_index(manager: &SchemaManager<'_>, table: &'static str, name: &str) -> Result<(), DbErr> {
    if manager.has_index(table, name).await? {
        let mut statement = Index::drop();
        statement.name(name).table(table);
        manager.drop_index(statement).await?;
    }
    Ok(())
}
