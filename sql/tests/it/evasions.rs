//! Ways around a guard, each decided right.

use muster_sql::{AgentColumn, AgentTables, AskedSql, Effect, Guard, GuardRole, SqlKind};

const CASES: &str = include_str!("evasions.txt");

const GUARD: &str = "
mode: enforce
rules:
  - {name: requests, tables: [curl, curl_certificate], deny: true, reason: hosts send requests}
  - {name: environments, tables: [process_envs], columns: [value], deny: true, reason: holds secrets}
  - {name: files, tables: [file, hash], where: [path, directory], reason: reads all disks}
  - {name: history, tables: [shell_history], approve: true, reason: shows what people type}
";

const TABLES: &str = "
processes pid:BIGINT name:TEXT path:TEXT cmdline:TEXT uid:BIGINT parent:BIGINT
users uid:BIGINT username:TEXT directory:TEXT shell:TEXT
process_envs pid:INTEGER key:TEXT value:TEXT
file path:TEXT directory:TEXT filename:TEXT size:BIGINT uid:BIGINT
hash path:TEXT directory:TEXT md5:TEXT sha256:TEXT
shell_history uid:BIGINT time:INTEGER command:TEXT history_file:TEXT
curl url:TEXT method:TEXT response_code:INTEGER bytes:BIGINT result:TEXT
";

fn tables() -> AgentTables {
    let mut tables = AgentTables::default();
    for line in TABLES.lines().filter(|line| !line.is_empty()) {
        let (name, columns) = line.split_once(' ').unwrap();
        let column = |word: &str| {
            let (name, kind) = word.split_once(':').unwrap();
            AgentColumn::new(name, kind, false)
        };
        tables.add_table(name, columns.split(' ').map(column));
    }
    tables.add_view("web", "SELECT url, result FROM curl WHERE url = 'http://192.0.2.1/'");
    tables.add_view("web_again", "SELECT * FROM web");
    tables.add_view("envs", "SELECT pid, value FROM process_envs");
    tables.add_view("procs", "SELECT pid, name FROM processes");
    tables.add_view("every_file", "SELECT path, size FROM file");
    tables.add_view("etc_files", "SELECT path, size FROM file WHERE directory = '/etc'");
    tables
}

#[test]
fn every_way_around_the_guard_is_decided_right() {
    let (guard, tables) = (Guard::parse(GUARD).unwrap(), tables());
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, sql) = line.split_once(' ').unwrap();
        let expected = match expected {
            "refused" => Effect::Refused,
            "approval" => Effect::NeedsApproval,
            "allowed" => Effect::Allowed,
            other => panic!("{other} is no decision"),
        };
        let sql = sql.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r");
        let asked = AskedSql { sql: &sql, role: GuardRole::Admin, kind: SqlKind::Live, labels: None };
        let decision = guard.decide(&asked, &tables);
        if decision.effect != expected {
            let texts: Vec<&str> = decision.findings.iter().map(|finding| &*finding.text).collect();
            wrong.push(format!("{:?} instead of {expected:?}: {sql}\n    {texts:?}", decision.effect));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{} of {cases} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 200);
}
