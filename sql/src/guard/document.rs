//! The text of a `guard.yml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_yaml::{Location, Spanned};

use super::{Guard, GuardMode, GuardRole, GuardRule, SqlKind};

/// Longest text.
const MAX_BYTES: usize = 1 << 20;

/// Most rules.
const MAX_RULES: usize = 500;

/// Most names in a list of a rule.
const MAX_NAMES: usize = 200;

/// Longest name of a table or column.
const MAX_NAME: usize = 64;

/// Fixed letters that a pattern begins with if a rule does not say how many: as many as `/etc` and `C:\W` have.
const PREFIX: usize = 4;

/// A mistake in a `guard.yml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardProblem {
    /// Counted from 1; 0 if it is of the whole text.
    pub line: u64,
    pub column: u64,
    /// What is wrong and what to do, as an error text for operators.
    pub reason: String,
}

impl fmt::Display for GuardProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for GuardProblem {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardDocument {
    mode: GuardMode,
    #[serde(default)]
    rules: Vec<Spanned<RuleDocument>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleDocument {
    name: String,
    reason: String,
    tables: Vec<String>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    roles: BTreeSet<GuardRole>,
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    kinds: BTreeSet<SqlKind>,
    mode: Option<GuardMode>,
    #[serde(default)]
    deny: bool,
    #[serde(default)]
    approve: bool,
    #[serde(default, rename = "where")]
    chosen_by: Vec<String>,
    prefix: Option<usize>,
    rows: Option<u64>,
    bytes: Option<u64>,
}

pub(super) fn read(text: &str) -> Result<Guard, GuardProblem> {
    let whole = |reason: String| GuardProblem { line: 0, column: 0, reason };
    if text.len() > MAX_BYTES {
        return Err(whole(format!("is longer than {MAX_BYTES} bytes")));
    }
    let options = serde_yaml::options! { strict_booleans: true, with_snippet: false };
    let document: GuardDocument = serde_yaml::from_str_with_options(text, options).map_err(|error| of_yaml(&error))?;
    if document.rules.len() > MAX_RULES {
        return Err(whole(format!("has more than {MAX_RULES} rules")));
    }
    let mut rules: Vec<GuardRule> = Vec::new();
    for rule in document.rules {
        let at = rule.referenced;
        let rule = checked(rule.value, document.mode).map_err(|reason| at_place(at, reason))?;
        if rules.iter().any(|other| other.name == rule.name) {
            return Err(at_place(at, format!("another rule has the name {:?}; choose another", rule.name)));
        }
        rules.push(rule);
    }
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in &rules {
        for table in &rule.tables {
            named.entry(table.clone()).or_default().extend(rule.columns.iter().cloned());
        }
    }
    Ok(Guard { mode: document.mode, rules, named })
}

fn at_place(at: Location, reason: String) -> GuardProblem {
    GuardProblem { line: at.line(), column: at.column(), reason }
}

fn of_yaml(error: &serde_yaml::Error) -> GuardProblem {
    let error = error.without_snippet();
    let reason = match error {
        serde_yaml::Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {field:?}; expected one of: {}", expected.join(", "))
        }
        other => other.render(),
    };
    let Some(at) = error.location() else { return GuardProblem { line: 0, column: 0, reason } };
    let suffix = format!(" at line {}, column {}", at.line(), at.column());
    at_place(at, reason.strip_suffix(&suffix).unwrap_or(&reason).to_owned())
}

fn checked(rule: RuleDocument, mode: GuardMode) -> Result<GuardRule, String> {
    let RuleDocument { name, reason, deny, approve, rows, bytes, .. } = rule;
    if name.trim().is_empty() || reason.trim().is_empty() {
        return Err("a rule has a name and a reason, which people are shown; write both".to_owned());
    }
    if rule.tables.is_empty() {
        return Err(format!("the rule {name:?} names no table; list some in `tables`"));
    }
    let has_limit = rows.is_some() || bytes.is_some();
    if !deny && !approve && rule.chosen_by.is_empty() && !has_limit {
        return Err(format!("the rule {name:?} does nothing; add deny, approve, where, rows or bytes"));
    }
    if deny && (approve || !rule.chosen_by.is_empty() || has_limit) {
        return Err(format!(
            "the rule {name:?} denies, so that nothing else in it can have an effect; remove deny or the rest"
        ));
    }
    if rule.prefix.is_some() && rule.chosen_by.is_empty() {
        return Err(format!("the rule {name:?} has a prefix without `where`; remove it, or add `where`"));
    }
    for (key, names) in [("tables", &rule.tables), ("columns", &rule.columns), ("where", &rule.chosen_by)] {
        if names.len() > MAX_NAMES {
            return Err(format!("the rule {name:?} has more than {MAX_NAMES} names in `{key}`; write two rules"));
        }
        if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "{wrong:?} in `{key}` of the rule {name:?} is no name that a table or column of osquery has"
            ));
        }
    }
    let small = |names: Vec<String>| names.into_iter().map(|name| name.to_ascii_lowercase());
    Ok(GuardRule {
        name,
        reason,
        tables: small(rule.tables).collect(),
        columns: small(rule.columns).collect(),
        roles: rule.roles,
        labels: rule.labels,
        kinds: rule.kinds,
        mode: rule.mode.unwrap_or(mode),
        is_denied: deny,
        needs_approval: approve,
        chosen_by: small(rule.chosen_by).collect::<BTreeSet<_>>().into_iter().collect(),
        prefix: rule.prefix.unwrap_or(PREFIX),
        rows,
        bytes,
    })
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(is_letter)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
