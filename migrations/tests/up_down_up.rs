//! The steps build the database, take it down and build it again.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

#[path = "../../server/tests/it/support/mariadb.rs"]
mod mariadb;

use muster_migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

async fn assert_up_down_up(db: &DatabaseConnection, tables: &str) {
    muster_migrations::prepare(db).await.unwrap();
    assert_eq!(muster_migrations::applied(db).await.unwrap(), Vec::<String>::new());
    Migrator::up(db, None).await.unwrap();
    assert_eq!(muster_migrations::applied(db).await.unwrap().len(), Migrator::migrations().len());
    Migrator::down(db, None).await.unwrap();
    let left = db.query_all_raw(Statement::from_string(db.get_database_backend(), tables)).await.unwrap();
    assert!(left.is_empty(), "{} tables are left after going down", left.len());
    Migrator::up(db, None).await.unwrap();
    Migrator::up(db, None).await.unwrap();
}

#[tokio::test]
async fn steps_go_up_down_and_up_again() {
    let db = Database::connect("sqlite::memory:").await.unwrap();
    let tables = "SELECT name FROM sqlite_master \
                  WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'seaql_migrations'";
    assert_up_down_up(&db, tables).await;
}

#[tokio::test]
async fn steps_go_up_down_and_up_again_on_mariadb() {
    if !mariadb::is_chosen() {
        eprintln!("skipped: set MUSTER_TEST_DB=mariadb");
        return;
    }
    let server = mariadb::shared();
    let name = server.new_database();
    let (user, password, address) = (&server.username, &server.password, &server.address);
    let mut options = ConnectOptions::new(format!("mysql://{user}:{password}@{address}/{name}"));
    options.sqlx_logging(false);
    let db = Database::connect(options).await.unwrap();
    let tables = "SELECT table_name FROM information_schema.tables \
                  WHERE table_schema = DATABASE() AND table_name <> 'seaql_migrations'";
    assert_up_down_up(&db, tables).await;
    let loose = "SELECT column_name FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND collation_name <> 'utf8mb4_bin'";
    let loose = db.query_all_raw(Statement::from_string(db.get_database_backend(), loose)).await.unwrap();
    assert!(loose.is_empty(), "{} columns do not compare byte by byte", loose.len());
}
