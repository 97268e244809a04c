//! What an import brought, and what it did not.

use std::fmt::{self, Write as _};

use muster_api::rest::{Action, Change, Role};
use serde::Serialize;

use crate::fleet::hosts::HostTally;

/// The outcome of an import.
#[derive(Debug, Serialize)]
pub struct ImportReport {
    /// Whether nothing was written.
    pub dry_run: bool,
    pub source: SourceReport,
    /// The host of Fleet behind which an interrupted import went on; those up to it are as of the run before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continued_after: Option<i64>,
    /// Queries, labels, packs, options, configuration and secrets.
    pub objects: Vec<Change>,
    /// Objects that differ and were left as they are here, because somebody has changed them here.
    pub kept: Vec<KeptObject>,
    pub users: Vec<UserReport>,
    pub(in crate::fleet) hosts: HostTally,
    /// What does not come along, and why.
    pub left: Vec<LeftReport>,
    /// What deserves a look.
    pub notes: Vec<String>,
    /// What remains to be done.
    pub next: Vec<String>,
}

/// The database of Fleet.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    pub database: String,
    pub kind: String,
    /// The newest step of its migrations.
    pub migration: i64,
    pub hosts: i64,
}

/// An object that is as it was here.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct KeptObject {
    pub kind: String,
    pub name: String,
    /// What differs.
    pub fields: Vec<String>,
}

/// A user of Fleet.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct UserReport {
    pub email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    pub outcome: UserFate,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserFate {
    /// Without a password.
    Created,
    There,
    Left,
}

/// Something that does not come along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftReport {
    pub what: String,
    /// `None` for more than were counted.
    pub number: Option<i64>,
    pub why: String,
}

impl LeftReport {
    pub fn one(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), number: Some(1), why: why.into() }
    }
}

/// Why hosts that are named are as they are, by the word in [`HostTally`].
const WHY_NAMED: [(&str, &str); 4] = [
    ("newer_here", "have enrolled here since they enrolled at Fleet, and keep the newer keys"),
    ("elsewhere", "have a key, or an identifier, that another host has here; left as they are"),
    ("without_key", "have no key of osquery at Fleet; they enroll when they come"),
    ("too_long", "have an identifier of more than 180 characters; they are refused here"),
];

impl ImportReport {
    fn hosts(&self, text: &mut String) -> fmt::Result {
        let hosts = &self.hosts;
        writeln!(
            text,
            "Hosts: {} read of {}; {} new, {} changed, {} unchanged. Agents of {} go on with the keys they have.",
            hosts.read, self.source.hosts, hosts.created, hosts.changed, hosts.unchanged, hosts.keys_added
        )?;
        if hosts.keys_dropped > 0 {
            writeln!(
                text,
                "  {} keys of an earlier import were replaced at Fleet since, and dropped",
                hosts.keys_dropped
            )?;
        }
        if hosts.without_identifier > 0 {
            let number = hosts.without_identifier;
            writeln!(text, "  {number} have no identifier of osquery, as devices under management alone; left behind")?;
        }
        let numbers = [hosts.newer_here, hosts.elsewhere, hosts.without_key, hosts.too_long];
        for ((word, why), number) in WHY_NAMED.into_iter().zip(numbers) {
            if number > 0 {
                let named = hosts.named.get(word).map(|names| names.join(", ")).unwrap_or_default();
                let more = if number > named.split(", ").count() as u64 { ", …" } else { "" };
                writeln!(text, "  {number} {why}: {named}{more}")?;
            }
        }
        Ok(())
    }

    fn objects(&self, text: &mut String) -> fmt::Result {
        let count = |action: Action| self.objects.iter().filter(|change| change.action == action).count();
        writeln!(
            text,
            "Labels, queries, packs, options, secrets: {} new, {} changed, {} unchanged.",
            count(Action::Created),
            count(Action::Changed),
            count(Action::Unchanged)
        )?;
        for change in &self.objects {
            let name = if change.name.is_empty() { String::new() } else { format!(" {:?}", change.name) };
            match change.action {
                Action::Created => writeln!(text, "  new {}{name}", change.kind)?,
                Action::Changed => writeln!(text, "  changed {}{name}: {}", change.kind, change.fields.join(", "))?,
                Action::Unchanged | Action::Deleted | Action::Absent | Action::Ignored => {}
            }
        }
        for kept in &self.kept {
            let (kind, name, fields) = (&kept.kind, &kept.name, kept.fields.join(", "));
            writeln!(
                text,
                "  kept {kind} {name:?}, which was changed here and differs in {fields}; --overwrite takes Fleet's"
            )?;
        }
        Ok(())
    }

    fn users(&self, text: &mut String) -> fmt::Result {
        let of = |fate: UserFate| self.users.iter().filter(move |user| user.outcome == fate);
        let (created, there) = (of(UserFate::Created).count(), of(UserFate::There).count());
        writeln!(text, "Users: {created} new, {there} that are there already, {} left.", of(UserFate::Left).count())?;
        for user in self.users.iter().filter(|user| user.outcome != UserFate::There || !user.note.is_empty()) {
            let role = user.role.map(|role| format!(" ({})", role_text(role))).unwrap_or_default();
            let fate = match user.outcome {
                UserFate::Created => "new",
                UserFate::There => "there",
                UserFate::Left => "left",
            };
            let note = if user.note.is_empty() { String::new() } else { format!(": {}", user.note) };
            writeln!(text, "  {fate} {}{role}{note}", user.email)?;
        }
        Ok(())
    }
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Observer => "observer",
        Role::Maintainer => "maintainer",
        Role::Admin => "admin",
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let SourceReport { database, kind, migration, .. } = &self.source;
        writeln!(text, "{kind} in {database}, as of its migration {migration}.")?;
        if self.dry_run {
            writeln!(text, "Dry run: nothing was written; this is what an import would do now.")?;
        }
        if let Some(id) = self.continued_after {
            writeln!(
                text,
                "Continued behind host {id} of an interrupted run; run the import once more for what has changed before it."
            )?;
        }
        self.objects(&mut text)?;
        self.users(&mut text)?;
        self.hosts(&mut text)?;
        if !self.left.is_empty() {
            writeln!(text, "Left behind:")?;
        }
        for left in &self.left {
            match left.number {
                Some(1) => writeln!(text, "  {}: {}", left.what, left.why)?,
                Some(number) => writeln!(text, "  {number} {}: {}", left.what, left.why)?,
                None => writeln!(text, "  more than 1000 {}: {}", left.what, left.why)?,
            }
        }
        for (title, lines) in [("Notes:", &self.notes), ("What remains:", &self.next)] {
            if !lines.is_empty() {
                writeln!(text, "{title}")?;
            }
            for line in lines {
                writeln!(text, "  - {line}")?;
            }
        }
        f.write_str(&text)
    }
}
