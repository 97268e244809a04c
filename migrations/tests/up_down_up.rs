//! The steps build the database, take it down and build it again.

use muster_migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, Statement};

#[tokio::test]
async fn steps_go_up_down_and_up_again() {
    let db = Database::connect("sqlite::memory:").await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    Migrator::down(&db, None).await.unwrap();
    let left = db
        .query_all_raw(Statement::from_string(
            db.get_database_backend(),
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'seaql_migrations'",
        ))
        .await
        .unwrap();
    assert!(left.is_empty(), "{} tables are left after going down", left.len());
    Migrator::up(&db, None).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
}
