//! The table guard: which tables and columns of agents may be read, by whom and how (`docs/guard.md`).
//!
//! The crate `sql` decides about one text. Here is which texts are judged, and with what: the tables that agents have
//! reported, the views of the agent options, the role of whoever asks, and the labels of the hosts that may run it.
//!
//! Live queries are judged when they begin (`Live::begin`), whatever they come by. Everything else that hosts run is in the
//! plan: a change is judged by what its plan has that the plan before it has not (`planned`), inside its transaction, so
//! that no way of changing something leads past the guard. Saved queries are judged by themselves, too, although hosts
//! run none that nobody asks or schedules.
//!
//! SQLite takes some milliseconds for a text and is asked on threads of its own, a few at one time. What it has said is
//! kept until the guard, the tables or the views change; a guard that warns asks it only about texts that name a table of
//! a rule.

mod alike;
mod approvals;
mod decisions;
mod file;
mod labels;
mod lacks;
mod planned;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_sql::{AgentTables, Effect, GuardFinding, GuardMode, GuardRole, SqlKind};
use tokio::sync::Semaphore;

pub(in crate::fleet) use self::approvals::NewApproval;
pub(in crate::fleet) use self::planned::{DocumentPaths, views_of};

use self::decisions::Decisions;
use self::file::{GuardFile, ReadGuard};
use self::labels::MissingLabels;
use super::access::Principal;
use super::schedule::Plan;
use super::schema::AgentSchemas;
use super::{Error, Problem, Result};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::entity::guard_approvals::{ApprovalWord, Model};
use crate::telemetry::Metrics;

/// Threads on which SQLite looks at SQL at one time.
const JUDGING_AT_ONCE: usize = 2;

/// Texts that SQLite looks at before those of another request.
const JUDGED_AT_ONCE: usize = 8;

/// The longest that SQLite looks at the SQL of one request. What was looked at is kept, so that the next try goes on there.
const JUDGED_WITHIN: Duration = Duration::from_secs(20);

/// Most findings that are said of one change.
const MAX_SAID: usize = 500;

/// Names and queries of views.
pub(in crate::fleet) type Views = BTreeMap<String, String>;

/// What SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fleet) enum SqlUse {
    For(SqlKind),
    /// A saved query as such: it may be asked or scheduled later, and is judged again then.
    Saved,
}

/// SQL that is to be judged.
#[derive(Debug, Clone)]
pub(in crate::fleet) struct GuardedSql {
    pub sql: String,
    pub sql_use: SqlUse,
    /// The labels of the guard whose hosts may run it; `None` for all.
    pub labels: Option<BTreeSet<String>>,
    /// Where it stands, for whoever has written it.
    pub path: String,
    /// What it is of, if the path does not say it.
    pub about: String,
}

impl GuardedSql {
    /// The SQL of a saved query. Rules for some labels are not about it before it is asked or scheduled.
    pub fn saved(sql: String, path: String) -> Self {
        Self { sql, sql_use: SqlUse::Saved, labels: Some(BTreeSet::new()), path, about: String::new() }
    }

    pub fn of(kind: SqlKind, sql: String, labels: Option<BTreeSet<String>>, path: String) -> Self {
        Self { sql, sql_use: SqlUse::For(kind), labels, path, about: String::new() }
    }
}

/// What the guard says of SQL, if it is let through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::fleet) struct GuardSaid {
    pub warnings: Vec<Problem>,
    pub limits: ResultLimits,
}

/// How much of the answer of one host is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::fleet) struct ResultLimits {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
}

/// The guard in force.
#[derive(Debug)]
pub struct TableGuard {
    file: GuardFile,
    store: Store,
    clock: Clock,
    schemas: Arc<AgentSchemas>,
    decisions: Arc<Decisions>,
    judging: Arc<Semaphore>,
    missing_labels: Mutex<MissingLabels>,
    metrics: Arc<Metrics>,
}

/// Whether a file is a guard.
///
/// # Errors
/// If it is not: the place, and what is wrong.
pub fn check(path: &Path) -> anyhow::Result<()> {
    GuardFile::load(Some(path)).map(drop)
}

impl TableGuard {
    /// Reads the guard of a file, or the one that is shipped.
    ///
    /// # Errors
    /// If the file cannot be read or is no guard.
    pub fn load(
        path: Option<&Path>,
        store: Store,
        clock: Clock,
        schemas: Arc<AgentSchemas>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let (decisions, judging) = (Arc::default(), Arc::new(Semaphore::new(JUDGING_AT_ONCE)));
        let (file, missing_labels) = (GuardFile::load(path)?, Mutex::default());
        Ok(Self { file, store, clock, schemas, decisions, judging, missing_labels, metrics })
    }

    /// Reads the file again; one that is wrong changes nothing.
    pub fn reload(&self) {
        self.file.reload();
    }

    /// Labels that rules name.
    pub(in crate::fleet) fn labels(&self) -> BTreeSet<String> {
        self.file.guard().guard.labels().into_iter().map(str::to_owned).collect()
    }

    /// Reads what a guard that refuses needs to know, so that no transaction waits for it.
    ///
    /// # Errors
    /// When the database does not answer, or while hosts are still being read.
    pub(in crate::fleet) async fn prepare(&self) -> Result<()> {
        if self.file.guard().guard.enforces() {
            self.schemas.agent_tables().await?;
        }
        Ok(())
    }

    /// What hosts would run by the plan `after` and do not run by the plan `before`.
    pub(in crate::fleet) fn planned_anew(&self, before: &Plan, after: &Plan, paths: &DocumentPaths) -> Vec<GuardedSql> {
        planned::planned_anew(&self.file.guard().guard, before, after, paths)
    }

    /// Judges SQL of a user. `views` are those of the agent options, one set for each kind of hosts. A dry run asks nobody for approval.
    ///
    /// # Errors
    /// When the database does not answer, and there is something to be said.
    pub(in crate::fleet) async fn judge(
        &self,
        principal: &Principal,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
        dry_run: bool,
    ) -> Result<Verdict> {
        let judged = self.decide(principal, views, asked).await?;
        self.verdict(principal, judged, dry_run).await
    }

    /// Judges SQL of which all is known: no transaction waits for SQLite. `None` if something is not.
    ///
    /// # Errors
    /// As for [`TableGuard::judge`].
    pub(in crate::fleet) async fn judge_known(
        &self,
        principal: &Principal,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
        dry_run: bool,
    ) -> Result<Option<Verdict>> {
        let Some((basis, asked)) = self.basis(views, asked).await? else { return Ok(Some(Verdict::default())) };
        let role = principal.guard_role();
        if !asked.iter().all(|asked| self.decisions.knows(&basis, role, asked)) {
            return Ok(None);
        }
        let judged = asked.into_iter().map(|asked| (self.decisions.judge(&basis, role, &asked), asked)).collect();
        self.verdict(principal, judged, dry_run).await.map(Some)
    }

    async fn verdict(
        &self,
        principal: &Principal,
        judged: Vec<(decisions::Judged, GuardedSql)>,
        dry_run: bool,
    ) -> Result<Verdict> {
        let requests: Vec<Option<NewApproval>> =
            judged.iter().map(|(judged, asked)| NewApproval::of(principal, judged, asked)).collect();
        let wanted: Vec<NewApproval> = requests.iter().flatten().cloned().collect();
        let decided = self.decided_approvals(&wanted).await?;
        let mut verdict = Verdict { dry_run, ..Verdict::default() };
        for ((judged, asked), request) in judged.into_iter().zip(requests) {
            let decided = request.as_ref().and_then(|request| decided.get(&request.mark));
            self.count(principal, &judged, &asked);
            verdict.add(&judged, &asked, request, decided);
        }
        Ok(verdict)
    }

    /// Has SQLite look at SQL that is to be judged soon, so that it need not be waited for then.
    ///
    /// # Errors
    /// As for [`TableGuard::judge`]; also [`Error::Unavailable`] when it takes longer than 20 seconds.
    pub(in crate::fleet) async fn look_ahead(
        &self,
        principal: &Principal,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
    ) -> Result<()> {
        self.decide(principal, views, asked).await.map(drop)
    }

    /// What would be said of SQL, refused or not, to whoever looks at it.
    pub(in crate::fleet) async fn look(
        &self,
        principal: &Principal,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
    ) -> Result<Vec<Problem>> {
        let decided = self.decide(principal, views, asked).await?;
        let said = decided.iter().flat_map(|(judged, asked)| judged.findings.iter().map(move |found| (found, asked)));
        Ok(said
            .take(MAX_SAID)
            .map(|(found, asked)| Problem::new(asked.path.clone(), text_of(found, &asked.about)))
            .collect())
    }

    async fn decide(
        &self,
        principal: &Principal,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
    ) -> Result<Vec<(decisions::Judged, GuardedSql)>> {
        let Some((basis, mut asked)) = self.basis(views, asked).await? else { return Ok(Vec::new()) };
        let (role, began, mut all) = (principal.guard_role(), Instant::now(), Vec::new());
        while !asked.is_empty() {
            if began.elapsed() > JUDGED_WITHIN {
                self.metrics.limit_hit("guard_judged_within");
                return Err(Error::Unavailable(format!(
                    "the table guard has looked at the SQL of this request for {} s, and {} texts are left; try again, it goes on \
                     there, or send fewer at one time",
                    JUDGED_WITHIN.as_secs(),
                    asked.len()
                )));
            }
            let rest = asked.split_off(asked.len().min(JUDGED_AT_ONCE));
            let few = std::mem::replace(&mut asked, rest);
            let judging = Arc::clone(&self.judging).acquire_owned().await;
            let (decisions, basis) = (Arc::clone(&self.decisions), Arc::clone(&basis));
            let judged = tokio::task::spawn_blocking(move || {
                let _judging = judging;
                let judge = |asked: GuardedSql| (decisions.judge(&basis, role, &asked), asked);
                few.into_iter().map(judge).collect::<Vec<_>>()
            });
            all.extend(judged.await.map_err(|error| Error::Internal(Box::new(error)))?);
        }
        Ok(all)
    }

    /// Those texts that SQLite has to be asked about, and what they are judged by; `None` if there are none.
    async fn basis(
        &self,
        views: Vec<Views>,
        asked: Vec<GuardedSql>,
    ) -> Result<Option<(Arc<decisions::Basis>, Vec<GuardedSql>)>> {
        let read = self.file.guard();
        let asked = concerned(Arc::clone(&read), &views, asked).await?;
        if asked.is_empty() {
            return Ok(None);
        }
        let tables = match self.schemas.agent_tables().await {
            // It says what a rule is about all the same; columns that nobody knows count as those that a rule names.
            Err(_) if !read.guard.enforces() => Arc::default(),
            tables => tables?,
        };
        Ok(Some((self.decisions.basis(&read, &tables, views), asked)))
    }

    fn count(&self, principal: &Principal, judged: &decisions::Judged, asked: &GuardedSql) {
        if judged.effect == Effect::Allowed {
            return;
        }
        let (user, sql_use) = (&principal.user.email, use_word(asked.sql_use));
        self.metrics.guard_findings.with_label_values(&[sql_use, effect_word(judged.effect)]).inc();
        if judged.effect >= Effect::NeedsApproval {
            let rules: Vec<&str> = judged.findings.iter().filter_map(|finding| finding.rule.as_deref()).collect();
            let (effect, rules) = (effect_word(judged.effect), rules.join(", "));
            tracing::warn!(
                user,
                sql_use,
                effect,
                rules,
                at = asked.path,
                "the table guard does not simply let SQL through"
            );
        }
    }
}

/// What the guard says of SQL.
#[derive(Debug, Default)]
pub(in crate::fleet) struct Verdict {
    problems: Vec<Problem>,
    said: GuardSaid,
    /// What a second person is to be asked for; nothing in a dry run.
    pub requests: Vec<NewApproval>,
    dry_run: bool,
}

impl Verdict {
    /// What is said, if nothing is refused.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all that is refused.
    pub fn into_said(self) -> Result<GuardSaid> {
        if self.problems.is_empty() { Ok(self.said) } else { Err(Error::Invalid(self.problems)) }
    }

    fn add(
        &mut self,
        judged: &decisions::Judged,
        asked: &GuardedSql,
        request: Option<NewApproval>,
        decided: Option<&Model>,
    ) {
        self.said.limits = self.said.limits.least(judged.limits);
        let key = request.as_ref().map(|request| request.key().to_owned());
        let is_asked = decided.is_some() || (!self.dry_run && self.requests.len() < approvals::MAX_AT_ONCE);
        for finding in &judged.findings {
            let mut text = text_of(finding, &asked.about);
            let mut is_refused = finding.effect >= Effect::NeedsApproval;
            if let (Effect::NeedsApproval, Some(key)) = (finding.effect, &key) {
                match decided.map(|decided| (&decided.state, decided.decided_by.as_deref().unwrap_or_default())) {
                    Some((ApprovalWord::Granted, by)) => {
                        is_refused = false;
                        let _ = write!(text, "; {by} has approved it");
                    }
                    Some((ApprovalWord::Denied, by)) => {
                        let _ = write!(
                            text,
                            "; {by} has denied it, and nobody is asked again before the day is over: talk to {by}, or change the SQL"
                        );
                    }
                    // Nobody finds a request under a key that is not there.
                    Some((ApprovalWord::Open | ApprovalWord::Unknown(_), _)) | None if !is_asked => {
                        text += "; nobody is asked for approval yet: that is done when the change is made, not when it is tried or planned";
                    }
                    Some((ApprovalWord::Open | ApprovalWord::Unknown(_), _)) | None => {
                        let _ = write!(
                            text,
                            "; within a day another maintainer or admin may: fleetctl approve grant {key}"
                        );
                    }
                }
            }
            let list = if is_refused { &mut self.problems } else { &mut self.said.warnings };
            if list.len() < MAX_SAID {
                list.push(Problem::new(asked.path.clone(), text));
            }
        }
        if decided.is_none() && is_asked {
            self.requests.extend(request);
        }
    }
}

impl ResultLimits {
    fn least(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self { rows: least(self.rows, other.rows), bytes: least(self.bytes, other.bytes) }
    }
}

/// Those of these texts that SQLite has to be asked about.
async fn concerned(read: Arc<ReadGuard>, views: &[Views], asked: Vec<GuardedSql>) -> Result<Vec<GuardedSql>> {
    if read.guard.mode() == GuardMode::Enforce {
        return Ok(asked);
    }
    let views: Vec<AgentTables> = views.iter().map(|views| with_views(&AgentTables::default(), views)).collect();
    let look = move || {
        let is_concerned = |asked: &GuardedSql| views.iter().any(|views| read.guard.may_concern(&asked.sql, views));
        asked.into_iter().filter(is_concerned).collect()
    };
    tokio::task::spawn_blocking(look).await.map_err(|error| Error::Internal(Box::new(error)))
}

fn with_views(tables: &AgentTables, views: &Views) -> AgentTables {
    tables.with_views(views.iter().map(|(name, sql)| (name.as_str(), sql.as_str())))
}

/// A finding, for whoever has written the SQL.
fn text_of(finding: &GuardFinding, about: &str) -> String {
    const REMEDY: &str = "; whoever runs the server can change that in its guard (docs/guard.md)";
    let rule = finding.rule.as_ref().map(|rule| format!(" (rule {rule:?})")).unwrap_or_default();
    let (text, about) = (&finding.text, if about.is_empty() { String::new() } else { format!("{about}: ") });
    match finding.effect {
        Effect::Allowed | Effect::Warned => format!("{about}the table guard warns{rule}: it {text}"),
        Effect::NeedsApproval => format!("{about}the table guard asks for a second person{rule}: it {text}"),
        Effect::Refused => format!("{about}the table guard refuses this{rule}: it {text}{REMEDY}"),
    }
}

fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allowed => "allowed",
        Effect::Warned => "warned",
        Effect::NeedsApproval => "needs_approval",
        Effect::Refused => "refused",
    }
}

fn use_word(sql_use: SqlUse) -> &'static str {
    match sql_use {
        SqlUse::For(kind) => kind_word(kind),
        SqlUse::Saved => "saved",
    }
}

fn kind_word(kind: SqlKind) -> &'static str {
    match kind {
        SqlKind::Live => "live",
        SqlKind::Scheduled => "scheduled",
        SqlKind::Label => "label",
        SqlKind::Decorator => "decorator",
        SqlKind::Discovery => "discovery",
    }
}

/// As rules name it.
fn role_word(role: GuardRole) -> &'static str {
    match role {
        GuardRole::Observer => "observer",
        GuardRole::Maintainer => "maintainer",
        GuardRole::Admin => "admin",
    }
}
