use std::time::Duration;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionOptions, TransactionTrait as _,
};

use super::pools;
use crate::under_way::{WaitsFor, waiting_first, waiting_for};

/// The pools of connections, or a transaction, whose statements show as waits.
#[derive(Debug, Clone)]
pub struct Observed<C>(C);

/// Connections whose statements show as waits.
pub type Connection = Observed<DatabaseConnection>;

/// Where statements go.
pub trait Statements: ConnectionTrait {
    /// What a statement that is sent now waits for first.
    fn first_wait(&self) -> WaitsFor;
}

impl Statements for DatabaseConnection {
    fn first_wait(&self) -> WaitsFor {
        if pools::is_exhausted(self) { WaitsFor::DatabaseConnection } else { WaitsFor::Database }
    }
}

impl Statements for DatabaseTransaction {
    fn first_wait(&self) -> WaitsFor {
        WaitsFor::Database
    }
}

impl<C: Statements> Observed<C> {
    pub fn new(inner: C) -> Self {
        Self(inner)
    }

    pub fn inner(&self) -> &C {
        &self.0
    }

    pub fn into_inner(self) -> C {
        self.0
    }

    async fn shown<T>(&self, statement: impl Future<Output = T>) -> T {
        waiting_first(self.0.first_wait(), WaitsFor::Database, statement).await
    }
}

impl Connection {
    /// Begins a transaction, which on SQLite may be one that waits until nobody else writes.
    pub async fn begin(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        let is_exhausted = pools::is_exhausted(&self.0);
        let begins = match self.0.get_database_backend() {
            DbBackend::Sqlite if options.sqlite_transaction_mode.is_some() => WaitsFor::DatabaseLock,
            _ => WaitsFor::Database,
        };
        let first = if is_exhausted { WaitsFor::DatabaseConnection } else { begins };
        waiting_first(first, begins, self.0.begin_with_options(options)).await
    }
}

/// Waits before another attempt after a lost race.
pub(super) async fn pause(time: Duration) {
    waiting_for(WaitsFor::DatabaseLock, tokio::time::sleep(time)).await;
}

#[async_trait]
impl<C: Statements + Send + Sync> ConnectionTrait for Observed<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.shown(self.0.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.shown(self.0.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.shown(self.0.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.shown(self.0.query_all_raw(statement)).await
    }

    fn support_returning(&self) -> bool {
        self.0.support_returning()
    }
}
