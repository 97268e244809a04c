//! The text of a `guard.yml`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_yaml::{Location, Spanned};

use super::loose::{Loose, LooseMap};
use super::{Guard, GuardMode, GuardRole, GuardRule, SqlKind};

/// Longest text.
const MAX_BYTES: usize = 1 << 20;

/// Most rules.
const MAX_RULES: usize = 500;

/// Most names in a list of a rule.
const MAX_NAMES: usize = 200;

/// Longest name of a table or column.
const MAX_NAME: usize = 64;

/// Most mistakes that are told.
const MAX_TOLD: usize = 50;

/// Fixed letters that a pattern begins with if a rule does not say how many: as many as `/etc` and `C:\W` have.
const PREFIX: usize = 4;

const KEYS: [&str; 2] = ["mode", "rules"];

const RULE_KEYS: [&str; 14] = [
    "name", "reason", "tables", "columns", "roles", "labels", "kinds", "mode", "deny", "approve", "where", "prefix",
    "rows", "bytes",
];

const MODES: [(&str, GuardMode); 2] = [("warn", GuardMode::Warn), ("enforce", GuardMode::Enforce)];

const ROLES: [(&str, GuardRole); 3] =
    [("observer", GuardRole::Observer), ("maintainer", GuardRole::Maintainer), ("admin", GuardRole::Admin)];

const KINDS: [(&str, SqlKind); 5] = [
    ("live", SqlKind::Live),
    ("scheduled", SqlKind::Scheduled),
    ("label", SqlKind::Label),
    ("decorator", SqlKind::Decorator),
    ("discovery", SqlKind::Discovery),
];

/// A mistake in a `guard.yml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardProblem {
    /// Counted from 1; 0 if it is of the whole text.
    pub line: u64,
    pub column: u64,
    /// What is wrong and what to do, as an error text for operators.
    pub reason: String,
}

/// The mistakes in a `guard.yml`, in the order of their places; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardProblems(pub Vec<GuardProblem>);

impl fmt::Display for GuardProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.reason)
    }
}

impl fmt::Display for GuardProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let separator = if position > 0 { "; " } else { "" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for GuardProblems {}

pub(super) fn read(text: &str) -> Result<Guard, GuardProblems> {
    let whole = |reason: String| GuardProblems(vec![GuardProblem { line: 0, column: 0, reason }]);
    if text.len() > MAX_BYTES {
        return Err(whole(format!("is longer than {MAX_BYTES} bytes")));
    }
    let options = serde_yaml::options! { strict_booleans: true, with_snippet: false };
    let document: LooseMap =
        serde_yaml::from_str_with_options(text, options).map_err(|error| GuardProblems(vec![of_yaml(&error)]))?;
    let mut found = Found::default();
    let mut keys = found.keys(document, &KEYS, "a guard has");
    let mode = match keys.remove("mode") {
        Some(mode) => found.word("mode", &mode, &MODES),
        None => {
            found.0.push(GuardProblem {
                line: 0,
                column: 0,
                reason: "`mode` is missing; write `mode: warn`, or `mode: enforce`".to_owned(),
            });
            None
        }
    };
    let rules = found.rules(keys.remove("rules"), mode.unwrap_or(GuardMode::Warn));
    let Found(mut problems) = found;
    if let (Some(mode), true) = (mode, problems.is_empty()) {
        let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for rule in &rules {
            for table in &rule.tables {
                named.entry(table.clone()).or_default().extend(rule.columns.iter().cloned());
            }
        }
        return Ok(Guard { mode, rules, named });
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let more = problems.len().saturating_sub(MAX_TOLD);
    problems.truncate(MAX_TOLD);
    if more > 0 {
        problems.push(GuardProblem { line: 0, column: 0, reason: format!("and {more} more mistakes") });
    }
    Err(GuardProblems(problems))
}

/// A text that is no YAML.
fn of_yaml(error: &serde_yaml::Error) -> GuardProblem {
    let error = error.without_snippet();
    let reason = error.render();
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let suffix = format!(" at line {line}, column {column}");
    let reason = reason.strip_suffix(&suffix).unwrap_or(&reason);
    GuardProblem { line, column, reason: format!("cannot be read as YAML: {reason}") }
}

type Keys = BTreeMap<String, Spanned<Loose>>;

/// The mistakes that were found so far.
#[derive(Debug, Default)]
struct Found(Vec<GuardProblem>);

impl Found {
    fn add(&mut self, at: Location, reason: String) {
        self.0.push(GuardProblem { line: at.line(), column: at.column(), reason });
    }

    /// The keys that belong there.
    fn keys(&mut self, map: LooseMap, known: &[&str], what: &str) -> Keys {
        let mut keys = Keys::new();
        for (key, value) in map.0 {
            if !known.contains(&key.value.as_str()) {
                let known = known.join(", ");
                self.add(key.referenced, format!("unknown key {:?}; {what} {known}", key.value));
                continue;
            }
            match keys.entry(key.value) {
                Entry::Vacant(vacant) => {
                    vacant.insert(value);
                }
                Entry::Occupied(there) => {
                    self.add(key.referenced, format!("`{}` is there twice; remove one", there.key()))
                }
            }
        }
        keys
    }

    fn wrong<T>(&mut self, key: &str, value: &Spanned<Loose>, expected: &str) -> Option<T> {
        self.add(value.referenced, format!("`{key}` expects {expected}, not {}", value.value.shown()));
        None
    }

    fn word<T: Copy>(&mut self, key: &str, value: &Spanned<Loose>, words: &[(&str, T)]) -> Option<T> {
        let found = match &value.value {
            Loose::Text(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        found.map(|(_, meaning)| *meaning).or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(key, value, &words.join(" or "))
        })
    }

    fn text(&mut self, key: &str, value: Option<Spanned<Loose>>) -> String {
        match value {
            Some(Spanned { value: Loose::Text(text), .. }) => text,
            None | Some(Spanned { value: Loose::Nothing, .. }) => String::new(),
            Some(Spanned { value: Loose::Whole(number), .. }) => number.to_string(),
            Some(other) => self.wrong(key, &other, "text").unwrap_or_default(),
        }
    }

    fn flag(&mut self, key: &str, value: Option<Spanned<Loose>>) -> bool {
        match value {
            None => false,
            Some(Spanned { value: Loose::Flag(flag), .. }) => flag,
            Some(other) => self.wrong(key, &other, "true or false").unwrap_or_default(),
        }
    }

    fn number(&mut self, key: &str, value: Option<Spanned<Loose>>) -> Option<u64> {
        let value = value.filter(|value| value.value != Loose::Nothing)?;
        let number = match &value.value {
            Loose::Whole(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        number.or_else(|| self.wrong(key, &value, "a whole number from 0 on"))
    }

    /// The members of a list, which `read` makes something of.
    fn list<T>(
        &mut self,
        key: &str,
        value: Option<Spanned<Loose>>,
        read: impl Fn(&mut Self, &Spanned<Loose>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = value.filter(|value| value.value != Loose::Nothing) else { return Vec::new() };
        let Loose::List(list) = &value.value else {
            return self.wrong(key, &value, "a list, as in [a, b]").unwrap_or_default();
        };
        list.iter().filter_map(|value| read(self, value)).collect()
    }

    fn texts(&mut self, key: &str, value: Option<Spanned<Loose>>) -> Vec<String> {
        self.list(key, value, |found, value| match &value.value {
            Loose::Text(text) => Some(text.clone()),
            Loose::Whole(number) => Some(number.to_string()),
            _ => found.wrong(key, value, "names"),
        })
    }

    fn words<T: Copy + Ord>(&mut self, key: &str, value: Option<Spanned<Loose>>, words: &[(&str, T)]) -> BTreeSet<T> {
        self.list(key, value, |found, value| found.word(key, value, words)).into_iter().collect()
    }

    fn rules(&mut self, value: Option<Spanned<Loose>>, mode: GuardMode) -> Vec<GuardRule> {
        let rules_at = value.as_ref().map(|value| value.referenced);
        let documents = self.list("rules", value, |found, value| match &value.value {
            Loose::Map(map) => Some((value.referenced, map.clone())),
            _ => found.wrong("rules", value, "rules, each with a name, a reason and tables"),
        });
        if let Some(at) = rules_at.filter(|_| documents.len() > MAX_RULES) {
            self.add(at, format!("has more than {MAX_RULES} rules"));
            return Vec::new();
        }
        let mut rules: Vec<GuardRule> = Vec::new();
        for (at, map) in documents {
            let before = self.0.len();
            let rule = self.rule(at, map, mode);
            if rules.iter().any(|other| other.name == rule.name && !rule.name.is_empty()) {
                self.add(at, format!("another rule has the name {:?}; choose another", rule.name));
            }
            if self.0.len() == before {
                self.doubt(at, &rule);
            }
            rules.push(rule);
        }
        rules
    }

    fn rule(&mut self, at: Location, map: LooseMap, mode: GuardMode) -> GuardRule {
        let mut keys = self.keys(map, &RULE_KEYS, "a rule has");
        let mut take = |key: &str| keys.remove(key);
        let (name, reason) = (self.text("name", take("name")), self.text("reason", take("reason")));
        let own_mode = take("mode").and_then(|mode| self.word("mode", &mode, &MODES));
        let mut names = |found: &mut Self, key: &str| {
            let texts = found.texts(key, take(key));
            found.check_names(at, &name, key, &texts);
            texts.into_iter().map(|name| name.to_ascii_lowercase())
        };
        let (tables, columns) = (names(self, "tables").collect(), names(self, "columns").collect());
        let chosen_by: BTreeSet<String> = names(self, "where").collect();
        let has_prefix = keys.contains_key("prefix");
        let mut take = |key: &str| keys.remove(key);
        let rule = GuardRule {
            reason,
            tables,
            columns,
            roles: self.words("roles", take("roles"), &ROLES),
            labels: self.texts("labels", take("labels")).into_iter().collect(),
            kinds: self.words("kinds", take("kinds"), &KINDS),
            mode: own_mode.unwrap_or(mode),
            is_denied: self.flag("deny", take("deny")),
            needs_approval: self.flag("approve", take("approve")),
            prefix: self
                .number("prefix", take("prefix"))
                .and_then(|prefix| usize::try_from(prefix).ok())
                .unwrap_or(PREFIX),
            rows: self.number("rows", take("rows")),
            bytes: self.number("bytes", take("bytes")),
            chosen_by: chosen_by.into_iter().collect(),
            name,
        };
        if has_prefix && rule.chosen_by.is_empty() {
            self.add(at, format!("the rule {:?} has a prefix without `where`; remove it, or add `where`", rule.name));
        }
        rule
    }

    fn check_names(&mut self, at: Location, rule: &str, key: &str, names: &[String]) {
        if names.len() > MAX_NAMES {
            self.add(at, format!("the rule {rule:?} has more than {MAX_NAMES} names in `{key}`; write two rules"));
        }
        for wrong in names.iter().filter(|name| !is_name(name)) {
            self.add(
                at,
                format!("{wrong:?} in `{key}` of the rule {rule:?} is no name that a table or column of osquery has"),
            );
        }
    }

    /// What a rule lacks whose values are right one by one.
    fn doubt(&mut self, at: Location, rule: &GuardRule) {
        let name = &rule.name;
        if name.trim().is_empty() || rule.reason.trim().is_empty() {
            self.add(at, "a rule has a name and a reason, which people are shown; write both".to_owned());
        }
        if rule.tables.is_empty() {
            self.add(at, format!("the rule {name:?} names no table; list some in `tables`"));
        }
        let has_limit = rule.rows.is_some() || rule.bytes.is_some();
        let has_more = rule.needs_approval || !rule.chosen_by.is_empty() || has_limit;
        if !rule.is_denied && !has_more {
            self.add(at, format!("the rule {name:?} does nothing; add deny, approve, where, rows or bytes"));
        }
        if rule.is_denied && has_more {
            let reason = "denies, so that nothing else in it can have an effect; remove deny or the rest";
            self.add(at, format!("the rule {name:?} {reason}"));
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(is_letter)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
