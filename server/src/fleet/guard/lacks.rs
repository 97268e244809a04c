//! SQL that names what hosts lack, by `osquery.schema_check`.

use std::sync::Arc;

use muster_sql::{AgentTables, SqlKind};
use roaring::RoaringTreemap;

use super::{GuardedSql, MAX_SAID, SqlUse, TableGuard, Views};
use crate::config::SchemaCheck;
use crate::fleet::error::none_of;
use crate::fleet::{Error, Problem, Result};

impl TableGuard {
    /// What these hosts, or all, lack of what SQL names, by `osquery.schema_check`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what none of them has, if that is to be refused.
    pub(in crate::fleet) async fn check_schema(
        &self,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
        hosts: Option<&RoaringTreemap>,
    ) -> Result<Vec<Problem>> {
        let check = self.schemas.check();
        if check == SchemaCheck::Off || asked.is_empty() {
            return Ok(Vec::new());
        }
        let fleet = match self.schemas.fleet_tables(hosts).await {
            Ok(Some(fleet)) => fleet,
            Ok(None) => return Ok(Vec::new()),
            Err(error) if check == SchemaCheck::Warn => {
                tracing::debug!(%error, "SQL was not checked by what hosts have");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let judging = Arc::clone(&self.judging).acquire_owned().await;
        let look = move || {
            let _judging = judging;
            let all = views.iter().fold(AgentTables::default(), with_more_views);
            let lacks = asked.into_iter().flat_map(|asked| {
                let is_live = asked.sql_use == SqlUse::For(SqlKind::Live);
                let lacks = fleet.lacks(&asked.sql, &all).into_iter().filter(move |lack| lack.is_nowhere || is_live);
                lacks.map(move |lack| {
                    (lack.is_nowhere, Problem::new(asked.path.clone(), format!("the SQL {}", lack.text)))
                })
            });
            lacks.take(MAX_SAID).collect::<Vec<_>>()
        };
        let found = tokio::task::spawn_blocking(look).await.map_err(|error| Error::Internal(Box::new(error)))?;
        let (wrong, doubtful): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(is_nowhere, _)| *is_nowhere && check == SchemaCheck::Refuse);
        let refused = |(_, problem): (bool, Problem)| Problem {
            reason: format!("{}; it is refused (osquery.schema_check)", problem.reason),
            ..problem
        };
        none_of(wrong.into_iter().map(refused).collect())?;
        Ok(doubtful.into_iter().map(|(_, problem)| problem).collect())
    }
}

fn with_more_views(mut tables: AgentTables, views: &Views) -> AgentTables {
    views.iter().for_each(|(name, sql)| tables.add_view(name, sql));
    tables
}
