//! A transaction under way, which counts what it does and remembers what only the database can know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::IntCounter;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use super::dialect::{ConnectionTrust, Failure, failure};
use super::observed::Observed;
use crate::histogram::Histograms;
use crate::under_way::{WaitsFor, waiting_for};

/// What the store counts.
#[derive(Debug, Clone)]
pub struct StoreCounters {
    /// Statements sent, without those that begin and end transactions.
    pub statements: IntCounter,
    /// Statements that failed.
    pub failures: IntCounter,
    /// How long statements take, by their use.
    pub seconds: Histograms<Duration>,
    /// Rows that committed transactions inserted, updated or deleted.
    pub rows_written: IntCounter,
    /// Transactions that were tried again because they had lost a race.
    pub retries: IntCounter,
    /// Readings the read replica did not answer.
    pub replica_failures: IntCounter,
}

impl StoreCounters {
    /// Counts and measures the statements on a connection. `usage` says what it is used for.
    pub(super) fn count_on(&self, connection: &mut DatabaseConnection, usage: &str) {
        let (statements, failures, seconds) =
            (self.statements.clone(), self.failures.clone(), self.seconds.with(&[usage]));
        connection.set_metric_callback(move |info| {
            statements.inc();
            seconds.observe(info.elapsed);
            if info.failed {
                failures.inc();
            }
        });
    }
}

#[cfg(test)]
impl Default for StoreCounters {
    fn default() -> Self {
        let counter = || IntCounter::new("a", "b").unwrap();
        Self {
            statements: counter(),
            failures: counter(),
            seconds: Histograms::new("a", "b", &["use"]).unwrap(),
            rows_written: counter(),
            retries: counter(),
            replica_failures: counter(),
        }
    }
}

/// A transaction under way.
#[derive(Debug)]
pub struct Tx {
    inner: Observed<DatabaseTransaction>,
    rows_written: AtomicU64,
    has_lost_race: AtomicBool,
    has_waited: AtomicBool,
    trust: Arc<ConnectionTrust>,
}

impl Tx {
    pub(super) fn new(inner: DatabaseTransaction, trust: Arc<ConnectionTrust>) -> Self {
        let (has_lost_race, has_waited) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner: Observed::new(inner), rows_written: AtomicU64::new(0), has_lost_race, has_waited, trust }
    }

    /// Whether a statement lost against another transaction, whatever was made of its error since.
    pub(super) fn has_lost_race(&self) -> bool {
        self.has_lost_race.load(Ordering::Relaxed)
    }

    /// As [`Tx::has_lost_race`], for a statement that waited in vain for a row which another transaction holds.
    pub(super) fn has_waited(&self) -> bool {
        self.has_waited.load(Ordering::Relaxed)
    }

    /// Gives the number of rows written.
    pub(super) async fn commit(self) -> Result<u64, DbErr> {
        let (rows, trust) = (self.rows_written.into_inner(), self.trust);
        let committed = waiting_for(WaitsFor::Database, self.inner.into_inner().commit()).await;
        if let Err(error) = &committed
            && failure(error) == Some(Failure::ReadOnly)
        {
            trust.withdraw();
        }
        committed.map(|()| rows)
    }

    /// Begins a part of the transaction that [`Tx::back_to_saved`] undoes. There is one at a time.
    pub async fn save(&self) -> super::Result<()> {
        self.inner.execute_unprepared("SAVEPOINT before_part").await?;
        Ok(())
    }

    /// Undoes everything since [`Tx::save`]. The rows stay locked.
    pub async fn back_to_saved(&self) -> super::Result<()> {
        self.inner.execute_unprepared("ROLLBACK TO SAVEPOINT before_part").await?;
        self.inner.execute_unprepared("RELEASE SAVEPOINT before_part").await?;
        Ok(())
    }

    pub(super) async fn rollback(self) -> Result<(), DbErr> {
        waiting_for(WaitsFor::Database, self.inner.into_inner().rollback()).await
    }

    fn noted<T>(&self, outcome: Result<T, DbErr>) -> Result<T, DbErr> {
        match outcome.as_ref().err().and_then(failure) {
            Some(Failure::LostRace | Failure::Duplicate) => self.has_lost_race.store(true, Ordering::Relaxed),
            Some(Failure::LockWait) => self.has_waited.store(true, Ordering::Relaxed),
            Some(Failure::ReadOnly) => self.trust.withdraw(),
            _ => {}
        }
        outcome
    }

    fn written(&self, outcome: Result<ExecResult, DbErr>) -> Result<ExecResult, DbErr> {
        let outcome = self.noted(outcome)?;
        self.rows_written.fetch_add(outcome.rows_affected(), Ordering::Relaxed);
        Ok(outcome)
    }
}

#[async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.written(self.inner.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.written(self.inner.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.noted(self.inner.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.noted(self.inner.query_all_raw(statement).await)
    }
}
