//! What SQLite has said of SQL, kept until something that it was said by changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use muster_sql::{AgentTables, AskedSql, Decision, Effect, GuardFinding, GuardRole, SqlKind};
use sha2::{Digest as _, Sha256};

use super::file::ReadGuard;
use super::{GuardedSql, ResultLimits, SqlUse, Views, kind_word, role_word, with_views};
use crate::lock::lock;

/// Most decisions that are kept, of some hundred bytes each: more than the documents of one apply need.
const MAX_KEPT: usize = 50_000;

/// What the guard says of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub effect: Effect,
    pub findings: Vec<GuardFinding>,
    pub limits: ResultLimits,
}

/// All that decisions are made by, but for what stands in their keys.
#[derive(Debug)]
pub(super) struct Basis {
    read: Arc<ReadGuard>,
    tables: Arc<AgentTables>,
    views: Vec<Views>,
    /// The tables with each set of views.
    with_views: Vec<AgentTables>,
}

#[derive(Debug, Default)]
struct KeptDecisions {
    basis: Option<Arc<Basis>>,
    decisions: HashMap<[u8; 32], Arc<Judged>>,
}

#[derive(Debug, Default)]
pub(super) struct Decisions(Mutex<KeptDecisions>);

impl Decisions {
    /// What decisions are made by from now on.
    pub fn basis(&self, read: &Arc<ReadGuard>, tables: &Arc<AgentTables>, views: Vec<Views>) -> Arc<Basis> {
        let is_same = |basis: &&Arc<Basis>| {
            basis.read.number == read.number && Arc::ptr_eq(&basis.tables, tables) && basis.views == views
        };
        if let Some(basis) = lock(&self.0).basis.as_ref().filter(is_same) {
            return Arc::clone(basis);
        }
        let with_views = views.iter().map(|views| with_views(tables, views)).collect();
        let basis = Arc::new(Basis { read: Arc::clone(read), tables: Arc::clone(tables), views, with_views });
        *lock(&self.0) = KeptDecisions { basis: Some(Arc::clone(&basis)), decisions: HashMap::new() };
        basis
    }

    /// Decides about a text. A saved query is refused if it can be neither asked nor scheduled; otherwise what is against one
    /// of both is said.
    pub fn judge(&self, basis: &Arc<Basis>, role: GuardRole, asked: &GuardedSql) -> Judged {
        let decide = |kind| self.decided(basis, role, kind, asked);
        match asked.sql_use {
            SqlUse::For(kind) => Judged::clone(&decide(kind)),
            SqlUse::Saved => {
                let (live, scheduled) = (decide(SqlKind::Live), decide(SqlKind::Scheduled));
                let effect = live.effect.min(scheduled.effect);
                let mut judged = Judged::default();
                judged.add(&live);
                judged.add(&scheduled);
                let effect = judged.effect.min(effect.max(Effect::Warned));
                judged.findings.iter_mut().for_each(|finding| finding.effect = finding.effect.min(effect));
                Judged { effect, ..judged }
            }
        }
    }

    /// Whether it is known what is said of a text.
    pub fn knows(&self, basis: &Arc<Basis>, role: GuardRole, asked: &GuardedSql) -> bool {
        let kept = lock(&self.0);
        let is_current = kept.basis.as_ref().is_some_and(|current| Arc::ptr_eq(current, basis));
        let is_kept = |kind| kept.decisions.contains_key(&key(role, kind, asked.labels.as_ref(), &asked.sql));
        is_current
            && match asked.sql_use {
                SqlUse::For(kind) => is_kept(kind),
                SqlUse::Saved => is_kept(SqlKind::Live) && is_kept(SqlKind::Scheduled),
            }
    }

    fn decided(&self, basis: &Arc<Basis>, role: GuardRole, kind: SqlKind, asked: &GuardedSql) -> Arc<Judged> {
        let key = key(role, kind, asked.labels.as_ref(), &asked.sql);
        let is_current = |kept: &KeptDecisions| kept.basis.as_ref().is_some_and(|current| Arc::ptr_eq(current, basis));
        {
            let kept = lock(&self.0);
            if let Some(known) = kept.decisions.get(&key).filter(|_| is_current(&kept)) {
                return Arc::clone(known);
            }
        }
        let mut judged = Judged::default();
        for tables in &basis.with_views {
            let asked = AskedSql { sql: &asked.sql, role, kind, labels: asked.labels.as_ref() };
            judged.add(&Judged::of(basis.read.guard.decide(&asked, tables)));
        }
        let judged = Arc::new(judged);
        let mut kept = lock(&self.0);
        if is_current(&kept) {
            if kept.decisions.len() >= MAX_KEPT {
                kept.decisions.clear();
            }
            kept.decisions.insert(key, Arc::clone(&judged));
        }
        judged
    }
}

impl Judged {
    fn of(decision: Decision) -> Self {
        let Decision { effect, findings, rows, bytes } = decision;
        Self { effect, findings, limits: ResultLimits { rows, bytes } }
    }

    /// What is said where both apply.
    fn add(&mut self, other: &Self) {
        self.effect = self.effect.max(other.effect);
        let new = other.findings.iter().filter(|finding| !self.findings.contains(finding));
        let new: Vec<GuardFinding> = new.cloned().collect();
        self.findings.extend(new);
        self.limits = self.limits.least(other.limits);
    }
}

fn key(role: GuardRole, kind: SqlKind, labels: Option<&BTreeSet<String>>, sql: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(role_word(role));
    hash.update([0]);
    hash.update(kind_word(kind));
    hash.update([0, u8::from(labels.is_some())]);
    for label in labels.into_iter().flatten() {
        hash.update((label.len() as u64).to_le_bytes());
        hash.update(label);
    }
    hash.update(u64::MAX.to_le_bytes());
    hash.update(sql);
    hash.finalize().into()
}
