use std::fmt::Write;

use muster_api::rest::{Action, Applied, Change, FieldDifference, PlatformHosts};

/// Kinds in the order in which the server applies them.
const ORDER: [&str; 8] =
    ["query", "label", "pack", "global_schedule", "config", "options", "enroll_secret", "user_roles"];

/// Actions in the order in which they are counted.
const COUNTED: [Action; 5] = [Action::Created, Action::Changed, Action::Deleted, Action::Unchanged, Action::Ignored];

/// The changes that were applied, or would be: one line per kind, followed by one line per object that differs. A dry run also
/// shows what differs, all changes by number, and the hosts that would notice.
pub fn render(applied: &Applied) -> String {
    let mut text = String::new();
    let mut kinds: Vec<&str> = ORDER.to_vec();
    for change in &applied.changes {
        if !kinds.contains(&change.kind.as_str()) {
            kinds.push(&change.kind);
        }
    }
    for kind in kinds {
        let changes: Vec<&Change> = applied.changes.iter().filter(|change| change.kind == kind).collect();
        // What is skipped as a whole is in the warnings.
        if changes.iter().any(|change| change.action != Action::Ignored) {
            group(&mut text, kind, &changes, applied.dry_run);
        }
    }
    if applied.changes.iter().all(|change| is_without_effect(change.action)) {
        text.push_str("no changes\n");
    } else if applied.dry_run {
        plan(&mut text, applied);
    }
    text
}

/// All changes by number, and the hosts whose config changes.
fn plan(text: &mut String, applied: &Applied) {
    let count = |action| applied.changes.iter().filter(|change| change.action == action).count();
    let [created, changed, deleted, unchanged] =
        [Action::Created, Action::Changed, Action::Deleted, Action::Unchanged].map(count);
    let _ = writeln!(text, "plan: {created} created, {changed} changed, {deleted} deleted, {unchanged} unchanged");
    let _ = match &applied.hosts {
        Some(hosts) => {
            let platforms: Vec<_> = hosts
                .platforms
                .iter()
                .map(|PlatformHosts { platform, hosts_count }| format!("{hosts_count} {}", visible(platform)))
                .collect();
            let platforms = match platforms.join(", ") {
                none if none.is_empty() => none,
                some => format!(": {some}"),
            };
            writeln!(text, "hosts: {} of {} would get another config{platforms}", hosts.changed, hosts.total)
        }
        None => writeln!(text, "hosts: not counted, because the server still reads them"),
    };
}

/// A field before and after a change, on one line if there is room.
fn difference(text: &mut String, difference: &FieldDifference) {
    /// Longest value that stands beside another one, in characters.
    const SHORT: usize = 50;
    let FieldDifference { field, before, after, is_cut, is_secret } = difference;
    if *is_secret {
        let _ = writeln!(text, "      {field}: not shown, because it may be secret");
        return;
    }
    let shown = |value: &Option<String>| value.as_deref().map_or_else(|| "(none)".to_owned(), visible);
    let is_short = |value: &Option<String>| {
        value.as_ref().is_none_or(|value| value.chars().count() <= SHORT && !value.contains('\n'))
    };
    if is_short(before) && is_short(after) && !is_cut {
        let same = before == after;
        let kind = if same { " (of another type)" } else { "" };
        let _ = writeln!(text, "      {field}: {} -> {}{kind}", shown(before), shown(after));
        return;
    }
    let _ = writeln!(text, "      {field}:");
    for (sign, value) in [("-", before), ("+", after)] {
        for line in value.iter().flat_map(|value| value.lines()) {
            let _ = writeln!(text, "        {sign} {}", visible(line));
        }
    }
    if *is_cut {
        let _ = writeln!(text, "        (cut)");
    }
}

/// Text without what a terminal would take for a command.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn group(text: &mut String, kind: &str, changes: &[&Change], dry_run: bool) {
    let verb = if dry_run { "would've applied" } else { "applied" };
    let count = changes.iter().filter(|change| change.action != Action::Ignored).count();
    let what = match kind {
        "query" if count == 1 => "1 query".to_owned(),
        "query" => format!("{count} queries"),
        "label" | "pack" if count == 1 => format!("1 {kind}"),
        "label" => format!("{count} labels"),
        "pack" => format!("{count} packs"),
        "global_schedule" => "the global schedule".to_owned(),
        "config" => "fleet config".to_owned(),
        "options" => "options".to_owned(),
        "enroll_secret" => "enroll secrets".to_owned(),
        "user_roles" => "user roles".to_owned(),
        _ => format!("{count} {kind}"),
    };
    let _ = writeln!(text, "[+] {verb} {what} ({})", counts(changes));
    for change in changes {
        let name = if change.name.is_empty() { String::new() } else { format!(" {:?}", change.name) };
        let fields = if change.fields.is_empty() { String::new() } else { format!(": {}", change.fields.join(", ")) };
        match change.action {
            Action::Unchanged | Action::Ignored => {}
            // Unnamed kinds without changed fields: the line above says it all.
            _ if name.is_empty() && fields.is_empty() => {}
            action => {
                let _ = writeln!(text, "    {} {kind}{name}{fields}", word(action));
                if dry_run {
                    change.differences.iter().for_each(|found| difference(text, found));
                }
            }
        }
    }
}

pub fn is_without_effect(action: Action) -> bool {
    matches!(action, Action::Unchanged | Action::Ignored)
}

fn counts(changes: &[&Change]) -> String {
    let parts = COUNTED.into_iter().filter_map(|action| {
        match changes.iter().filter(|change| change.action == action).count() {
            0 => None,
            _ if changes.len() == 1 && changes[0].name.is_empty() => Some(word(action).to_owned()),
            count => Some(format!("{count} {}", word(action))),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Changed => "changed",
        Action::Unchanged => "unchanged",
        Action::Deleted => "deleted",
        Action::Absent => "absent",
        Action::Ignored => "ignored",
    }
}

#[cfg(test)]
mod tests {
    use muster_api::rest::TouchedHosts;

    use super::*;

    fn change(kind: &str, name: &str, action: Action, fields: &[&str]) -> Change {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Change { kind: kind.to_owned(), name: name.to_owned(), action, fields, ..Change::default() }
    }

    #[test]
    fn groups_are_counted_and_changes_named() {
        let changes = vec![
            change("config", "", Action::Changed, &["agent_options"]),
            change("pack", "p", Action::Unchanged, &[]),
            change("query", "a", Action::Unchanged, &[]),
            change("query", "b", Action::Changed, &["query", "description"]),
            change("query", "c\n", Action::Created, &[]),
            change("user_roles", "", Action::Changed, &[]),
            change("enroll_secret", "", Action::Created, &[]),
        ];
        assert_eq!(
            render(&Applied { changes, ..Applied::default() }),
            "[+] applied 3 queries (1 created, 1 changed, 1 unchanged)\n    \
             changed query \"b\": query, description\n    \
             created query \"c\\n\"\n\
             [+] applied 1 pack (1 unchanged)\n\
             [+] applied fleet config (changed)\n    \
             changed config: agent_options\n\
             [+] applied enroll secrets (created)\n\
             [+] applied user roles (changed)\n"
        );
    }

    #[test]
    fn what_is_skipped_is_counted_beside_what_is_applied() {
        let changes = vec![
            change("label", "All Hosts", Action::Ignored, &[]),
            change("label", "a", Action::Created, &[]),
            change("policy", "p", Action::Ignored, &[]),
        ];
        assert_eq!(
            render(&Applied { changes, ..Applied::default() }),
            "[+] applied 1 label (1 created, 1 ignored)\n    created label \"a\"\n"
        );
        let changes = vec![change("policy", "p", Action::Ignored, &[])];
        assert_eq!(render(&Applied { changes, ..Applied::default() }), "no changes\n");
    }

    #[test]
    fn no_change_is_reported() {
        let changes = vec![change("label", "a", Action::Unchanged, &[])];
        assert_eq!(
            render(&Applied { dry_run: true, changes, ..Applied::default() }),
            "[+] would've applied 1 label (1 unchanged)\nno changes\n"
        );
    }

    #[test]
    fn a_dry_run_is_a_plan() {
        let difference = |field: &str, before: Option<&str>, after: Option<&str>| FieldDifference {
            field: field.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            ..FieldDifference::default()
        };
        let mut changed = change("query", "a", Action::Changed, &["query", "description"]);
        changed.differences = vec![
            difference("description", None, Some("b\x1b[31m")),
            difference("query", Some("SELECT 1"), Some("SELECT 1\nFROM uptime")),
            FieldDifference { is_secret: true, ..difference("token", None, None) },
        ];
        let changes = vec![changed, change("pack", "Global (x)", Action::Deleted, &[])];
        let linux = PlatformHosts { platform: "ubuntu".to_owned(), hosts_count: 3 };
        let hosts = Some(TouchedHosts { changed: 3, total: 40, platforms: vec![linux] });
        assert_eq!(
            render(&Applied { dry_run: true, changes, hosts, ..Applied::default() }),
            "[+] would've applied 1 query (1 changed)\n    \
             changed query \"a\": query, description\n      \
             description: (none) -> b\u{fffd}[31m\n      \
             query:\n        \
             - SELECT 1\n        \
             + SELECT 1\n        \
             + FROM uptime\n      \
             token: not shown, because it may be secret\n\
             [+] would've applied 1 pack (1 deleted)\n    \
             deleted pack \"Global (x)\"\n\
             plan: 0 created, 1 changed, 1 deleted, 0 unchanged\n\
             hosts: 3 of 40 would get another config: 3 ubuntu\n"
        );
    }
}
