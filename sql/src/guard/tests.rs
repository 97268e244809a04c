use std::collections::BTreeSet;

use super::*;
use crate::{AgentColumn, AgentTables};

fn tables(text: &str) -> AgentTables {
    let mut tables = AgentTables::default();
    for line in text.split(';') {
        let (name, columns) = line.trim().split_once(' ').unwrap();
        tables.add_table(name, columns.split(' ').map(|name| AgentColumn::new(name, "TEXT", false)));
    }
    tables
}

fn decide(guard: &str, sql: &str) -> Decision {
    let guard = Guard::parse(guard).unwrap();
    let asked = AskedSql { sql, role: GuardRole::Observer, kind: SqlKind::Live, labels: None };
    guard.decide(&asked, &tables("users uid name; process_envs pid key value; file path directory"))
}

/// A document of one rule that is enforced.
fn rule(keys: &str) -> String {
    format!("mode: enforce\nrules:\n- {{name: a, reason: because, {keys}}}\n")
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let rule = "  - name: a\n    reason: b\n    tables: [curl]\n";
    for (text, expected) in [
        ("mode: off", "line 1, column 7: "),
        ("mode: warn\nrule: []", "line 2, column 1: unknown key \"rule\"; a guard has mode, rules"),
        ("", ""),
        ("rules: []", "mode"),
        (&format!("mode: warn\nrules:\n{rule}"), "line 3, column 5: the rule \"a\" does nothing"),
        (&format!("mode: warn\nrules:\n{rule}    denied: true\n"), "line 6, column 5: unknown key \"denied\""),
        (&format!("mode: warn\nrules:\n{rule}    deny: yes\n"), "line 6"),
        (&format!("mode: warn\nrules:\n{rule}    deny: true\n    rows: 5\n"), "denies"),
        (
            &format!("mode: warn\nrules:\n{rule}    rows: 5\n{rule}    rows: 6\n"),
            "line 7, column 5: another rule has the name \"a\"",
        ),
        (&format!("mode: warn\nrules:\n{rule}    roles: [owner]\n    deny: true\n"), "line 6"),
        (&format!("mode: warn\nrules:\n{rule}    where: [\"u'rl\"]\n"), "\"u'rl\" in `where`"),
        (&format!("mode: warn\nrules:\n{rule}    rows: 5\n    prefix: 2\n"), "prefix without"),
        (&format!("mode: warn\nrules:\n{rule}    rows: -5\n"), "line 6"),
        (&format!("mode: warn\nrules:\n{rule}    rows: 5\n    rows: 6\n"), "line 7"),
    ] {
        let problem = Guard::parse(text).unwrap_err().to_string();
        assert!(problem.contains(expected), "{text}\n{problem}");
    }
    let text = format!(
        "mode: off\nrules:\n{rule}    roles: [owner, admin, 7]\n    rows: many\n- name: [b]\n  tables: curl\n  deny: yes\n  columms: [x]\n- 5\n"
    )
    .replace("\n  - name: a\n    reason: b\n    tables: [curl]\n    ", "\n- name: a\n  reason: b\n  tables: [curl, 9x]\n  ")
    .replace("\n    rows", "\n  rows");
    let problems = Guard::parse(&text).unwrap_err();
    let reported: Vec<String> =
        problems.0.iter().map(|problem| format!("{} {}", problem.line, problem.reason)).collect();
    assert_eq!(
        reported,
        [
            "1 `mode` expects warn or enforce, not \"off\"",
            "3 \"9x\" in `tables` of the rule \"a\" is no name that a table or column of osquery has",
            "6 `roles` expects observer or maintainer or admin, not \"owner\"",
            "6 `roles` expects observer or maintainer or admin, not 7",
            "7 `rows` expects a whole number from 0 on, not \"many\"",
            "8 `name` expects text, not a list",
            "9 `tables` expects a list, as in [a, b], not \"curl\"",
            "10 `deny` expects true or false, not \"yes\"",
            "11 unknown key \"columms\"; a rule has name, reason, tables, columns, roles, labels, kinds, mode, deny, approve, where, \
             prefix, rows, bytes",
            "12 `rules` expects rules, each with a name, a reason and tables, not 5",
        ]
    );
    assert!(
        problems
            .to_string()
            .starts_with("line 1, column 7: `mode` expects warn or enforce, not \"off\"; line 3, column 3: ")
    );
    assert!(Guard::parse(&" ".repeat(2 << 20)).unwrap_err().to_string().contains("longer"));
}

#[test]
fn the_guard_that_is_shipped_only_warns() {
    let guard = Guard::parse(DEFAULT_GUARD).unwrap();
    assert_eq!(guard.mode(), GuardMode::Warn);
    assert!(guard.tables().any(|table| table == "shell_history"));
    let none = AgentTables::default();
    let ask = |sql: &str| {
        let asked = AskedSql { sql, role: GuardRole::Admin, kind: SqlKind::Scheduled, labels: None };
        let decision = guard.decide(&asked, &none);
        assert!(decision.effect <= Effect::Warned && decision.rows.is_none(), "{sql}");
        decision.findings.into_iter().filter_map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert_eq!(ask("SELECT name FROM processes"), [""; 0]);
    assert_eq!(ask("SELECT * FROM curl WHERE url = 'http://192.0.2.1'"), ["requests"]);
    assert_eq!(ask("SELECT * FROM shell_history"), ["shell-history", "shell-history-of-somebody"]);
    assert_eq!(ask("SELECT s.command FROM users u JOIN shell_history s USING (uid)"), ["shell-history"]);
    assert_eq!(ask("SELECT sha256 FROM hash WHERE path = '/bin/ls'"), [""; 0]);
    assert_eq!(ask("SELECT sha256 FROM hash"), ["files"]);
    assert_eq!(ask("SELECT path FROM file WHERE path LIKE '/etc/%%'"), [""; 0]);
    assert_eq!(ask("SELECT value FROM process_envs"), ["environments"]);
    assert_eq!(ask("SELECT * FROM carves"), ["carves", "carves-of-chosen-files"]);
}

#[test]
fn the_guard_of_the_documents_can_be_read() {
    let page = include_str!("../../../docs/guard.md");
    let text = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let guard = Guard::parse(text).unwrap();
    assert_eq!(guard.tables().collect::<Vec<_>>(), ["curl", "curl_certificate", "file", "hash", "process_envs"]);
}

#[test]
fn rules_apply_to_their_roles_kinds_and_labels() {
    let text = rule("tables: [users], deny: true, roles: [observer], kinds: [live, label], labels: [prod, pci]");
    let guard = Guard::parse(&text).unwrap();
    let effect = |role, kind, labels: Option<&[&str]>| {
        let labels = labels.map(|labels| labels.iter().map(|&label| label.to_owned()).collect::<BTreeSet<_>>());
        let asked = AskedSql { sql: "SELECT uid FROM users", role, kind, labels: labels.as_ref() };
        guard.decide(&asked, &tables("users uid")).effect
    };
    assert_eq!(effect(GuardRole::Observer, SqlKind::Live, Some(&["lab", "pci"])), Effect::Refused);
    assert_eq!(effect(GuardRole::Observer, SqlKind::Label, None), Effect::Refused);
    assert_eq!(effect(GuardRole::Observer, SqlKind::Live, Some(&["lab"])), Effect::Allowed);
    assert_eq!(effect(GuardRole::Observer, SqlKind::Live, Some(&[])), Effect::Allowed);
    assert_eq!(effect(GuardRole::Admin, SqlKind::Live, None), Effect::Allowed);
    assert_eq!(effect(GuardRole::Observer, SqlKind::Decorator, None), Effect::Allowed);
}

#[test]
fn columns_are_guarded_alone() {
    let text = rule("tables: [process_envs, nobody_has], columns: [value], deny: true");
    for (sql, expected) in [
        ("SELECT pid, key FROM process_envs", Effect::Allowed),
        ("SELECT count(*) FROM process_envs", Effect::Allowed),
        ("SELECT * FROM process_envs", Effect::Refused),
        ("SELECT pid FROM process_envs WHERE Value LIKE '%'", Effect::Refused),
        // Nobody knows which columns it has: each may be the one.
        ("SELECT other FROM nobody_has", Effect::Refused),
        ("SELECT count(*) FROM nobody_has", Effect::Refused),
    ] {
        assert_eq!(decide(&text, sql).effect, expected, "{sql}");
    }
}

#[test]
fn limits_approval_and_a_mode_of_its_own_add_up() {
    let text = "mode: enforce\nrules:\n\
        - {name: a, reason: r, tables: [users, file], rows: 100, bytes: 9}\n\
        - {name: b, reason: r, tables: [users], rows: 10, approve: true}\n\
        - {name: c, reason: r, tables: [users], rows: 1, deny: false, mode: warn}\n";
    let decision = decide(text, "SELECT uid FROM users");
    assert_eq!((decision.effect, decision.rows, decision.bytes), (Effect::NeedsApproval, Some(10), Some(9)));
    let effects: Vec<Effect> = decision.findings.iter().map(|finding| finding.effect).collect();
    assert_eq!(effects, [Effect::NeedsApproval, Effect::Warned]);
    let decision = decide(text, "SELECT path FROM file");
    assert_eq!((decision.effect, decision.rows), (Effect::Allowed, Some(100)));
    assert_eq!(decide(text, "SELECT 1"), Decision::default());
}

#[test]
fn what_nobody_knows_is_refused_where_the_guard_enforces() {
    let text = rule("tables: [curl], approve: true");
    for (sql, effect) in [
        ("SELECT * FROM nosuch", Effect::Refused),
        ("SELECT value FROM json_each('[]')", Effect::Allowed),
        ("SELECT * FROM curl", Effect::NeedsApproval),
        ("SELECT * FROM curl('http://192.0.2.1')", Effect::Refused),
        ("SELECT * FROM users WHERE", Effect::Refused),
        ("SELECT nope FROM users", Effect::Allowed),
    ] {
        assert_eq!(decide(&text, sql).effect, effect, "{sql}");
        let warning = text.replace("mode: enforce", "mode: warn");
        assert!(decide(&warning, sql).effect <= Effect::Warned, "{sql}");
    }
    let warning = "mode: warn\nrules:\n- {name: a, reason: r, tables: [curl], mode: enforce, deny: true}\n";
    assert_eq!(decide(warning, "SELECT * FROM [CURL]('x')").effect, Effect::Refused);
    assert_eq!(decide(warning, "SELECT * FROM nosuch").effect, Effect::Allowed);
}

#[test]
fn hostile_texts_end() {
    let text =
        rule("tables: [file], where: [path, directory]") + "- {name: b, reason: r, tables: [file], where: [size]}\n";
    let sources: Vec<String> = (0..64).map(|at| format!("file AS f{at}")).collect();
    let conditions: Vec<String> = (1..64).map(|at| format!("f{at}.path = f{}.directory", at - 1)).collect();
    let expressions: Vec<String> =
        (1..12).map(|at| format!("c{at} AS (SELECT a.path FROM c{0} AS a, c{0} AS b)", at - 1)).collect();
    for sql in [
        format!("SELECT * FROM {}", sources.join(", ")),
        format!("SELECT 1 FROM {} WHERE {}", sources.join(", "), conditions.join(" AND ")),
        format!("SELECT 1 FROM file WHERE {}", vec!["path = '/a' OR directory = '/b'"; 400].join(" OR ")),
        format!("SELECT 1 FROM file WHERE path IN ({})", vec!["'/a'"; 20_000].join(",")),
        format!("WITH c0 AS (SELECT path FROM file), {} SELECT * FROM c11", expressions.join(", ")),
        vec!["SELECT path FROM file"; 400].join(" UNION ALL "),
    ] {
        assert_eq!(decide(&text, &sql).effect, Effect::Refused, "{sql:.60}");
    }
}

#[test]
fn guarded_tables_are_there_whatever_agents_say() {
    // An agent that leaves out what the rule is about.
    let text = rule("tables: [secret], columns: [value], deny: true");
    let guard = Guard::parse(&text).unwrap();
    let asked = |sql| AskedSql { sql, role: GuardRole::Admin, kind: SqlKind::Live, labels: None };
    for sql in ["SELECT value FROM secret", "SELECT * FROM secret", "SELECT \"value\" FROM secret"] {
        assert_eq!(guard.decide(&asked(sql), &tables("secret id")).effect, Effect::Refused, "{sql}");
        assert_eq!(guard.decide(&asked(sql), &AgentTables::default()).effect, Effect::Refused, "{sql}");
    }
    assert_eq!(guard.decide(&asked("SELECT id FROM secret"), &tables("secret id")).effect, Effect::Allowed);
}
