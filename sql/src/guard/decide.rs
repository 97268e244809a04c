//! What becomes of a statement.

use std::collections::BTreeSet;

use super::{Guard, GuardMode, GuardRole, GuardRule, SqlKind};
use crate::agent_tables::AgentTables;
use crate::confined::{self, Needed};
use crate::reads::{Analysis, Unclear, names_with_views};
use crate::scratch::UNKNOWN;

/// SQL, and who asks whom.
#[derive(Debug, Clone, Copy)]
pub struct AskedSql<'a> {
    pub sql: &'a str,
    pub role: GuardRole,
    pub kind: SqlKind,
    /// All labels of all hosts that may run it; `None` if nobody knows them, so that rules of every label apply.
    pub labels: Option<&'a BTreeSet<String>>,
}

/// What becomes of SQL, from what is let through to what is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    #[default]
    Allowed,
    Warned,
    /// It waits until a second person approves it.
    NeedsApproval,
    Refused,
}

/// What the guard says of SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The strictest effect of all findings.
    pub effect: Effect,
    pub findings: Vec<GuardFinding>,
    /// Most rows of a result of one host, from rules that are enforced.
    pub rows: Option<u64>,
    /// Most bytes of a result of one host, from rules that are enforced.
    pub bytes: Option<u64>,
}

/// One thing that the guard says of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardFinding {
    /// The name of the rule; `None` for what is refused without one.
    pub rule: Option<String>,
    pub effect: Effect,
    /// What the SQL does and why somebody minds, as a text for operators.
    pub text: String,
}

impl Guard {
    /// Decides on SQL for agents that have these tables. Tables that rules name are guarded whatever `tables` says: one that
    /// is not in it is taken to have every column that a rule names, and any column read of it is taken for such a one.
    pub fn decide(&self, asked: &AskedSql<'_>, tables: &AgentTables) -> Decision {
        let mut decision = Decision::default();
        if self.mode == GuardMode::Warn && !self.may_concern(asked.sql, tables) {
            return decision;
        }
        match Analysis::of(asked.sql, tables, &self.named) {
            Ok(mut analysis) => {
                for table in &analysis.reads.unknown_tables {
                    let is_guarded = self.named.contains_key(table);
                    if self.mode == GuardMode::Enforce && !is_guarded {
                        decision.add(None, Effect::Refused, format!("reads {table}, which no agent has reported"));
                    }
                }
                self.judge(asked, &mut analysis, &mut decision);
            }
            Err(unclear) => self.judge_unclear(asked, &unclear, &mut decision),
        }
        decision
    }

    /// Whether a table of a rule is named at all, also by views of `tables`. Takes no SQLite, so that a guard which warns
    /// costs next to nothing.
    pub fn may_concern(&self, sql: &str, tables: &AgentTables) -> bool {
        names_with_views(sql, tables).iter().any(|name| self.named.contains_key(name))
    }

    fn judge(&self, asked: &AskedSql<'_>, analysis: &mut Analysis<'_>, decision: &mut Decision) {
        let mut needs: Vec<(&GuardRule, Needed<'_>)> = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.is_for(asked)) {
            for (table, what) in rule.reads_of(analysis) {
                rule.object(&what, "reads", decision);
                if !rule.chosen_by.is_empty() {
                    needs.push((rule, Needed { table, columns: &rule.chosen_by, prefix: rule.prefix }));
                }
            }
        }
        let needed: Vec<Needed<'_>> = needs.iter().map(|(_, needed)| needed.clone()).collect();
        for at in confined::unmet(analysis, &needed) {
            let (rule, table) = (needs[at].0, needs[at].1.table);
            decision.add(Some(rule), rule.strictly(Effect::Refused), rule.unchosen(table));
        }
    }

    /// What nobody understands may read every table whose name is in it, and all of it.
    fn judge_unclear(&self, asked: &AskedSql<'_>, unclear: &Unclear, decision: &mut Decision) {
        let effect = if self.mode == GuardMode::Enforce { Effect::Refused } else { Effect::Warned };
        decision.add(None, effect, format!("{}, so that the guard cannot tell what it reads", unclear.reason));
        for rule in self.rules.iter().filter(|rule| rule.is_for(asked)) {
            for table in rule.tables.iter().filter(|table| unclear.names.contains(*table)) {
                rule.object(table, "may read", decision);
                if !rule.chosen_by.is_empty() {
                    decision.add(Some(rule), rule.strictly(Effect::Refused), rule.unchosen(table));
                }
            }
        }
    }
}

impl Decision {
    fn add(&mut self, rule: Option<&GuardRule>, effect: Effect, text: String) {
        self.effect = self.effect.max(effect);
        self.findings.push(GuardFinding { rule: rule.map(|rule| rule.name.clone()), effect, text });
    }
}

impl GuardRule {
    fn is_for(&self, asked: &AskedSql<'_>) -> bool {
        let is_labelled = asked.labels.is_none_or(|labels| self.labels.iter().any(|label| labels.contains(label)));
        (self.roles.is_empty() || self.roles.contains(&asked.role))
            && (self.kinds.is_empty() || self.kinds.contains(&asked.kind))
            && (self.labels.is_empty() || is_labelled)
    }

    /// The effect in the mode of the rule.
    fn strictly(&self, effect: Effect) -> Effect {
        if self.mode == GuardMode::Enforce { effect } else { Effect::Warned }
    }

    /// The tables of the rule that a statement reads in a way that the rule is about, and what that is, for people.
    fn reads_of(&self, analysis: &Analysis<'_>) -> Vec<(&str, String)> {
        let mut found = Vec::new();
        for table in &self.tables {
            let read: BTreeSet<&str> =
                analysis.all.iter().filter(|(other, _)| other == table).map(|(_, column)| column.as_str()).collect();
            if read.is_empty() {
                continue;
            }
            let is_unknown = analysis.reads.unknown_tables.contains(table) || read.contains(UNKNOWN);
            let is_read = |column: &&String| is_unknown || read.contains(column.as_str());
            let columns: Vec<&str> = self.columns.iter().filter(is_read).map(String::as_str).collect();
            match (self.columns.is_empty(), columns.is_empty()) {
                (true, _) => found.push((table.as_str(), table.clone())),
                (false, false) => found.push((table.as_str(), format!("{} of {table}", columns.join(", ")))),
                (false, true) => {}
            }
        }
        found
    }

    /// Says what the rule has against reading this, and limits it.
    fn object(&self, what: &str, does: &str, decision: &mut Decision) {
        let Self { reason, .. } = self;
        if self.is_denied {
            decision.add(
                Some(self),
                self.strictly(Effect::Refused),
                format!("{does} {what}, which is denied: {reason}"),
            );
        }
        if self.needs_approval {
            let text = format!("{does} {what}, which a second person approves: {reason}");
            decision.add(Some(self), self.strictly(Effect::NeedsApproval), text);
        }
        if self.mode == GuardMode::Enforce {
            decision.rows = least(decision.rows, self.rows);
            decision.bytes = least(decision.bytes, self.bytes);
        } else if self.rows.is_some() || self.bytes.is_some() {
            let text = format!("{does} {what}, of which results would be limited: {reason}");
            decision.add(Some(self), Effect::Warned, text);
        }
    }

    fn unchosen(&self, table: &str) -> String {
        let columns = self.chosen_by.join(" or ");
        format!("reads {table} without a WHERE that chooses its rows by {columns}: {}", self.reason)
    }
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
