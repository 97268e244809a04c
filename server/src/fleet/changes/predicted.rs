//! What a change is predicted to cost, from what hosts have reported of the queries that it brings.
//!
//! A query is taken to cost what the same SQL has cost under whatever name; else what SQL that reads the same tables has cost,
//! which is a guess: the rows that it reads of them may be others. Of anything else nothing is said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_api::rest::{
    BasisKind, BasisQuery, CostBasis, PlannedCosts, PlannedQuery, PlannedRuns, PlannedTotal, PredictedCost,
};
use muster_sql::normalised;

use super::Changes;
use super::burdens::burdens;
use crate::fleet::guard::views_of;
use crate::fleet::schedule::{ChangedQuery, QuerySql, ScheduledRuns};
use crate::fleet::statistics::{KnownRuns, RunOfSql};
use crate::fleet::{Error, Result};

/// Most texts whose cost is looked for, those first that run most. Others count as unknown.
const MAX_TEXTS: usize = 500;

/// Most queries that are told.
const MAX_TOLD: usize = 200;

/// Most queries that a basis names.
const MAX_NAMED: usize = 3;

const SECS_OF_HOUR: u64 = 3600;
const SECS_OF_DAY: u64 = 24 * SECS_OF_HOUR;

/// What the cost of a text is taken from.
#[derive(Debug)]
struct CostSource {
    kind: BasisKind,
    tables: BTreeSet<String>,
    runs: KnownRuns,
}

/// What there is to look for.
#[derive(Debug)]
struct Search {
    /// Texts of the change.
    texts: Vec<String>,
    /// For each the texts that are the same statement, itself included.
    same: Vec<Vec<String>>,
    /// All texts that may have run, each once.
    scheduled: Vec<String>,
}

impl Changes {
    /// What hosts will pay for what they run otherwise. `None` if they run nothing otherwise.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::fleet) async fn predict(&self, changed: Vec<ChangedQuery>) -> Result<Option<PlannedCosts>> {
        if changed.is_empty() {
            return Ok(None);
        }
        let plan = self.schedule.plan();
        let views = views_of(&plan);
        let prepare = move || {
            let search = Search::of(&changed, plan.scheduled_sql());
            (changed, search)
        };
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let (changed, Search { texts, same, scheduled }) =
            prepared.map_err(|error| Error::Internal(Box::new(error)))?;
        let mut found: HashMap<String, CostSource> = HashMap::new();
        let mut others = Vec::new();
        for (sql, runs) in texts.into_iter().zip(self.statistics.runs_of_sql(&same).await?) {
            match runs {
                Some(runs) => {
                    found.insert(sql, CostSource { kind: BasisKind::SameSql, tables: BTreeSet::new(), runs });
                }
                None => others.push(sql),
            }
        }
        if !others.is_empty() {
            let alike = self.guard.alike(views, others.clone(), scheduled).await?;
            let texts: Vec<Vec<String>> = alike.iter().map(|alike| alike.others.clone()).collect();
            let runs = self.statistics.runs_of_sql(&texts).await?;
            for ((sql, alike), runs) in others.into_iter().zip(alike).zip(runs) {
                if let Some(runs) = runs {
                    found.insert(sql, CostSource { kind: BasisKind::SimilarSql, tables: alike.tables, runs });
                }
            }
        }
        let mut costs = reported(changed, &found);
        costs.since = self.statistics.runs_known_since().to_utc();
        Ok(Some(costs))
    }
}

impl Search {
    fn of(changed: &[ChangedQuery], scheduled: Vec<QuerySql>) -> Self {
        let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
        for runs in changed.iter().flat_map(|query| [&query.before, &query.after]).flatten() {
            let weight = weights.entry(&runs.sql).or_default();
            *weight = weight.saturating_add(runs_per_day(runs));
        }
        let mut texts: Vec<(&str, u64)> = weights.into_iter().collect();
        texts.sort_by_key(|(sql, weight)| (std::cmp::Reverse(*weight), *sql));
        texts.truncate(MAX_TEXTS);
        let scheduled: BTreeSet<String> = scheduled.into_iter().map(|query| query.sql).collect();
        let mut same_as: HashMap<String, Vec<String>> = HashMap::new();
        for sql in &scheduled {
            same_as.entry(normalised(sql)).or_default().push(sql.clone());
        }
        let same = |(sql, _): &(&str, u64)| {
            let mut same = vec![(*sql).to_owned()];
            let others = same_as.get(&normalised(sql)).into_iter().flatten().filter(|other| other != sql);
            same.extend(others.cloned());
            same
        };
        Self {
            same: texts.iter().map(same).collect(),
            texts: texts.into_iter().map(|(sql, _)| sql.to_owned()).collect(),
            scheduled: scheduled.into_iter().collect(),
        }
    }
}

/// The answer, but for the time that it rests on.
fn reported(changed: Vec<ChangedQuery>, found: &HashMap<String, CostSource>) -> PlannedCosts {
    let (mut before, mut after, mut unknown) = (PlannedTotal::default(), PlannedTotal::default(), 0);
    let mut warnings = Vec::new();
    let mut queries: Vec<PlannedQuery> = Vec::with_capacity(changed.len());
    for ChangedQuery { pack, name, before: old, after: new } in changed {
        let shown = |runs: Option<ScheduledRuns>| runs.map(|runs| planned(&runs, found.get(&runs.sql)));
        let query = PlannedQuery { pack, name, before: shown(old), after: shown(new) };
        let is_unknown = |runs: &Option<PlannedRuns>| runs.as_ref().is_some_and(|runs| runs.cost.is_none());
        // One side alone would show a saving, or a burden, that nobody knows.
        if is_unknown(&query.before) || is_unknown(&query.after) {
            unknown += u64::from(query.after.is_some());
        } else {
            add(&mut before, query.before.as_ref());
            add(&mut after, query.after.as_ref());
        }
        burdens(&query, &mut warnings);
        queries.push(query);
    }
    queries.sort_by_key(|query| (std::cmp::Reverse(difference(query)), query.pack.clone(), query.name.clone()));
    let more = queries.len().saturating_sub(MAX_TOLD) as u64;
    queries.truncate(MAX_TOLD);
    PlannedCosts { since: chrono::DateTime::UNIX_EPOCH, queries, more, unknown, before, after, warnings }
}

fn planned(runs: &ScheduledRuns, basis: Option<&CostSource>) -> PlannedRuns {
    let run = basis.map(|basis| basis.runs.on(runs.hosts.keys()));
    PlannedRuns {
        hosts: runs.host_count(),
        is_at_most: runs.is_at_most,
        interval: runs.interval_secs,
        snapshot: runs.is_snapshot,
        rests_on: basis.zip(run).map(|(basis, run)| rests_on(basis, run)).unwrap_or_default(),
        cost: run.map(|run| cost(runs, run)),
    }
}

fn rests_on(basis: &CostSource, run: RunOfSql) -> CostBasis {
    let named = basis.runs.queries.iter().take(MAX_NAMED);
    CostBasis {
        kind: basis.kind,
        queries: named.map(|query| BasisQuery { pack: query.pack.clone(), name: query.name.clone() }).collect(),
        more: basis.runs.queries.len().saturating_sub(MAX_NAMED) as u64,
        hosts: run.hosts,
        executions: run.runs,
        tables: basis.tables.iter().cloned().collect(),
    }
}

fn cost(runs: &ScheduledRuns, run: RunOfSql) -> PredictedCost {
    let per_hour = |one: u64| one.saturating_mul(SECS_OF_HOUR) / runs.interval_secs.max(1);
    let per_day = |one: u64| one.saturating_mul(runs_per_day(runs));
    PredictedCost {
        cpu_us: run.cpu_us,
        cpu_us_p50: run.cpu_us_p50,
        cpu_us_p95: run.cpu_us_p95,
        memory_p50: run.memory_p50,
        memory_p95: run.memory_p95,
        output_bytes: run.output_bytes,
        cpu_us_per_host_hour: per_hour(run.cpu_us),
        bytes_per_host_hour: run.output_bytes.map(per_hour),
        cpu_ms_per_day: per_day(run.cpu_us) / 1000,
        bytes_per_day: run.output_bytes.map(per_day),
    }
}

/// Runs of all hosts together.
fn runs_per_day(runs: &ScheduledRuns) -> u64 {
    runs.host_count().saturating_mul(SECS_OF_DAY) / runs.interval_secs.max(1)
}

fn add(total: &mut PlannedTotal, runs: Option<&PlannedRuns>) {
    if let Some(cost) = runs.and_then(|runs| runs.cost.as_ref()) {
        total.cpu_ms_per_day = total.cpu_ms_per_day.saturating_add(cost.cpu_ms_per_day);
        total.bytes_per_day = total.bytes_per_day.saturating_add(cost.bytes_per_day.unwrap_or(0));
    }
}

/// By how much CPU time of a day a query becomes dearer or cheaper, in milliseconds; then by how many hosts run it.
fn difference(query: &PlannedQuery) -> (u64, u64) {
    let cpu = |runs: &Option<PlannedRuns>| {
        runs.as_ref().and_then(|runs| runs.cost.as_ref()).map_or(0, |cost| cost.cpu_ms_per_day)
    };
    let hosts = query.after.as_ref().or(query.before.as_ref()).map_or(0, |runs| runs.hosts);
    (cpu(&query.before).abs_diff(cpu(&query.after)), hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(sql: &str, hosts: u64, interval_secs: u64) -> Option<ScheduledRuns> {
        let hosts = [("ubuntu".to_owned(), hosts)].into();
        Some(ScheduledRuns { sql: sql.to_owned(), interval_secs, is_snapshot: false, is_at_most: false, hosts })
    }

    fn query(name: &str, before: Option<ScheduledRuns>, after: Option<ScheduledRuns>) -> ChangedQuery {
        ChangedQuery { pack: "p".to_owned(), name: name.to_owned(), before, after }
    }

    #[test]
    fn the_same_statement_is_looked_for_however_it_is_written() {
        let changed = [query("a", runs("SELECT 1", 1, 60), runs("select 2;", 1, 60))];
        let of = |sql: &str| QuerySql { pack: String::new(), name: "x".to_owned(), sql: sql.to_owned() };
        let search = Search::of(&changed, vec![of("SELECT 2"), of("SELECT 3"), of("SELECT  1 -- one"), of("SELECT 2")]);
        assert_eq!(search.texts, ["SELECT 1", "select 2;"]);
        assert_eq!(search.same, [vec!["SELECT 1", "SELECT  1 -- one"], vec!["select 2;", "SELECT 2"]]);
        assert_eq!(search.scheduled.len(), 3);
    }

    #[test]
    fn texts_that_run_most_are_looked_for_first() {
        let many = (0..MAX_TEXTS as u64 + 10)
            .map(|number| query(&number.to_string(), None, runs(&format!("SELECT {number}"), 1 + number, 60)));
        let search = Search::of(&many.collect::<Vec<_>>(), Vec::new());
        assert_eq!((search.texts.len(), search.texts[0].as_str()), (MAX_TEXTS, "SELECT 509"));
    }

    #[test]
    fn what_nobody_knows_is_in_no_total() {
        let changed = vec![query("new", None, runs("x", 3, 60)), query("gone", runs("y", 3, 60), None)];
        let costs = reported(changed, &HashMap::new());
        assert_eq!((costs.unknown, costs.before, costs.after), (1, PlannedTotal::default(), PlannedTotal::default()));
        let kinds: Vec<_> = costs.queries.iter().flat_map(|query| [&query.before, &query.after]).flatten().collect();
        assert!(
            kinds.iter().all(|runs| runs.rests_on == CostBasis::default() && runs.cost.is_none() && runs.hosts == 3)
        );
        assert_eq!(costs.warnings, [""; 0]);
    }

    #[test]
    fn the_cost_of_a_run_becomes_that_of_a_day() {
        let run = RunOfSql { cpu_us: 2_500, output_bytes: Some(100), ..RunOfSql::default() };
        let cost = cost(&runs("x", 1_000, 90).unwrap(), run);
        assert_eq!((cost.cpu_us_per_host_hour, cost.bytes_per_host_hour), (100_000, Some(4_000)));
        assert_eq!((cost.cpu_ms_per_day, cost.bytes_per_day), (2_400_000, Some(96_000_000)));
    }
}
