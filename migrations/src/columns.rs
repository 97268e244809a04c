//! Column shapes all steps share, so that both databases store the same values exactly.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// Longest name of a thing an operator names; the same limit is checked before saving.
pub const NAME_LENGTH: u32 = 255;

/// A new table whose text compares byte by byte on MySQL, as it does on SQLite.
pub fn table(manager: &SchemaManager<'_>, name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name).if_not_exists();
    if manager.get_database_backend() == DatabaseBackend::MySql {
        table.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
    }
    table
}

pub fn id() -> ColumnDef {
    ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key().take()
}

/// A foreign id, or any other 64-bit number.
pub fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().default(0).take()
}

pub fn optional_number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

/// A moment in UTC as microseconds since 1970: exact on both databases and good beyond 2038.
pub fn moment(name: &'static str) -> ColumnDef {
    number(name)
}

pub fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().default(false).take()
}

pub fn optional_flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().null().take()
}

/// Up to `NAME_LENGTH` characters.
pub fn name(column: &'static str) -> ColumnDef {
    ColumnDef::new(column).string_len(NAME_LENGTH).not_null().default("").take()
}

pub fn optional_name(column: &'static str) -> ColumnDef {
    ColumnDef::new(column).string_len(NAME_LENGTH).null().take()
}

/// Text of any length; JSON is stored in it too.
pub fn long_text(manager: &SchemaManager<'_>, column: &'static str) -> ColumnDef {
    optional_long_text(manager, column).not_null().take()
}

pub fn optional_long_text(manager: &SchemaManager<'_>, column: &'static str) -> ColumnDef {
    let mut definition = ColumnDef::new(column);
    if manager.get_database_backend() == DatabaseBackend::MySql {
        definition.custom("longtext");
    } else {
        definition.text();
    }
    definition
}

/// Bytes of any length.
pub fn long_bytes(manager: &SchemaManager<'_>, column: &'static str) -> ColumnDef {
    let mut definition = ColumnDef::new(column);
    if manager.get_database_backend() == DatabaseBackend::MySql {
        definition.custom("longblob");
    } else {
        definition.blob();
    }
    definition.not_null().take()
}

/// A SHA-256 digest as primary key.
pub fn hash_key(column: &'static str) -> ColumnDef {
    ColumnDef::new(column).var_binary(32).not_null().primary_key().take()
}

/// Makes an index unless it is there already.
pub async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
    unique: bool,
) -> Result<(), DbErr> {
    let name = format!("{table}_{}", columns.join("_"));
    if manager.has_index(table, &name).await? {
        return Ok(());
    }
    let mut statement = Index::create();
    statement.name(name).table(table);
    for column in columns {
        statement.col(*column);
    }
    if unique {
        statement.unique();
    }
    manager.create_index(statement.take()).await
}

/// Adds a column unless it is there already.
pub async fn add_column(manager: &SchemaManager<'_>, table: &'static str, column: ColumnDef) -> Result<(), DbErr> {
    if manager.has_column(table, column.get_column_name()).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table(table).add_column(column).take()).await
}

/// Drops a column that may or may not be there.
pub async fn drop_column(manager: &SchemaManager<'_>, table: &'static str, column: &'static str) -> Result<(), DbErr> {
    if !manager.has_column(table, column).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table(table).drop_column(column).take()).await
}

/// Drops tables that may or may not be there.
pub async fn drop_tables(manager: &SchemaManager<'_>, tables: &[&'static str]) -> Result<(), DbErr> {
    for table in tables {
        manager.drop_table(Table::drop().table(*table).if_exists().take()).await?;
    }
    Ok(())
}
