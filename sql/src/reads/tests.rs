use proptest::prelude::*;

use super::*;
use crate::AgentColumn;

fn tables() -> AgentTables {
    let mut tables = AgentTables::default();
    for (name, columns) in [
        ("processes", "pid:BIGINT name:TEXT path:TEXT cmdline:TEXT parent:BIGINT"),
        ("users", "uid:BIGINT username:TEXT directory:TEXT"),
        ("Process_Envs", "pid:INTEGER key:TEXT value:TEXT"),
        ("file", "path:TEXT directory:TEXT size:BIGINT -pid_with_namespace:INTEGER"),
        ("osquery_registry", "registry:TEXT name:TEXT"),
    ] {
        tables.add_table(
            name,
            columns.split(' ').map(|word| {
                let (name, kind) = word.split_once(':').unwrap();
                AgentColumn::new(name.trim_start_matches('-'), kind, name.starts_with('-'))
            }),
        );
    }
    tables.add_view("my_procs", "SELECT name, pid FROM processes");
    tables.add_view("my_envs", "SELECT p.name, e.* FROM my_procs p JOIN process_envs e USING (pid)");
    tables.add_view("evil", "SELECT 1; ATTACH '/tmp/x' AS y");
    tables
}

/// What a statement reads, as `table.column` in one line; `?` before what nobody knows, `=` before SQLite's own tables.
fn read(sql: &str) -> String {
    let reads = match reads(sql, &tables()) {
        Ok(reads) => reads,
        Err(unclear) => return format!("unclear: {}", unclear.reason),
    };
    let mut words = Vec::new();
    for (table, columns) in &reads.tables {
        words.push(if columns.is_empty() { table.clone() } else { String::new() });
        words.extend(columns.iter().map(|column| format!("{table}.{column}")));
    }
    words.extend(reads.own_tables.iter().map(|name| format!("={name}")));
    words.extend(reads.unknown_tables.iter().map(|name| format!("?{name}")));
    for UnknownColumn { name, tables } in &reads.unknown_columns {
        words.push(format!("?{}.{name}", tables.iter().cloned().collect::<Vec<_>>().join("|")));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

#[test]
fn what_is_read_is_found_however_it_is_written() {
    for (sql, expected) in [
        ("SELECT pid FROM processes", "processes.pid"),
        ("select P.PID from [Processes] AS p -- pid, name", "processes.pid"),
        ("SELECT count(*) FROM processes", "processes"),
        ("SELECT 1 FROM \"processes\" WHERE EXISTS (SELECT 1 FROM `users`)", "processes users"),
        ("SELECT * FROM users", "users.directory users.uid users.username"),
        ("SELECT * FROM file", "file.directory file.path file.size"),
        ("SELECT pid_with_namespace FROM file", "file.pid_with_namespace"),
        ("SELECT rowid FROM users", "users"),
        ("SELECT u.username FROM users u NATURAL JOIN processes", "processes users.username"),
        ("SELECT 1 FROM processes NATURAL JOIN process_envs", "process_envs.pid processes.pid"),
        ("WITH users AS (SELECT pid FROM processes) SELECT * FROM users", "processes.pid"),
        ("WITH users AS (SELECT 1) SELECT count(*) FROM users", ""),
        ("WITH users AS (SELECT 1) SELECT count(*), (SELECT count(*) FROM main.users) FROM users", "users"),
        ("WITH unused AS (SELECT * FROM users) SELECT 1", ""),
        (
            "WITH c(a) AS (SELECT pid FROM processes) SELECT a FROM c UNION SELECT uid FROM users",
            "processes.pid users.uid",
        ),
        ("SELECT name FROM my_procs", "my_procs.name processes.name processes.pid"),
        ("SELECT main.processes.pid FROM main.processes", "processes.pid"),
        ("SELECT temp.users.uid FROM temp.users", "users.uid"),
        ("SELECT value FROM json_each('[1]')", "=json_each"),
        ("SELECT name FROM sqlite_schema", "=sqlite_master"),
        (
            "SELECT t.name FROM osquery_registry r, pragma_table_info(r.name) t",
            "osquery_registry.name =pragma_table_info",
        ),
        ("PRAGMA table_info(processes)", ""),
        ("EXPLAIN QUERY PLAN SELECT pid FROM processes", "processes.pid"),
        ("SELECT \"nope\" FROM users", "users"),
        ("SELECT 'pid' FROM 'processes'", "processes"),
        ("SELECT regex_match(name, 'a', 0), split(path, '/', 1) FROM processes", "processes.name processes.path"),
        ("VALUES ((SELECT pid FROM processes))", "processes.pid"),
        ("SELECT max(pid) OVER (PARTITION BY name) FROM processes", "processes.name processes.pid"),
    ] {
        assert_eq!(read(sql), expected, "{sql}");
    }
}

#[test]
fn all_that_nobody_knows_is_named() {
    for (sql, expected) in [
        ("SELECT a, b.c FROM nosuch, nowhere b", "?nosuch ?nowhere"),
        ("SELECT nope, nor, name FROM processes", "processes.name ?processes.nope ?processes.nor"),
        ("SELECT p.nope FROM processes p, users u", "processes users ?processes.nope"),
        ("SELECT nope FROM processes p, users u", "processes users ?processes|users.nope"),
        ("SELECT nope, u.nor FROM users u JOIN nosuch n ON n.x = u.uid", "users.uid ?nosuch ?users.nor"),
        ("SELECT 1 FROM users JOIN processes USING (pid)", "processes.pid users ?users.pid"),
        ("SELECT 1 FROM users JOIN processes USING (nope)", "processes users ?processes|users.nope"),
        ("SELECT * FROM temp.nosuch WHERE nope = 1", "?nosuch"),
        ("SELECT * FROM dbstat", "?dbstat"),
        ("SELECT value FROM evil", "?evil"),
    ] {
        assert_eq!(read(sql), expected, "{sql}");
    }
}

#[test]
fn what_nobody_can_say_is_unclear() {
    for (sql, reason) in [
        ("SELECT * FROM users('x')", "not a function"),
        ("SELECT value FROM pragma_nosuch('x')", "not a function"),
        ("SELECT * FROM users INDEXED BY i", "no such index"),
        ("SELECT c.nope FROM (SELECT uid FROM users) c", "no such column"),
        ("SELECT * FROM other.users", "other.users"),
        ("SELECT uid FROM users a, users b", "ambiguous"),
        ("CREATE VIEW v AS SELECT * FROM users", "only read"),
        ("SELECT 1; SELECT * FROM users", "2 statements"),
        ("SELECT * FROM users WHERE", "parse"),
    ] {
        let text = read(sql);
        assert!(text.contains(reason), "{sql}: {text}");
    }
    let unclear = reads("SELECT * FROM \"USERS\"('x'), my_envs", &tables()).unwrap_err();
    assert!(["users", "my_envs", "process_envs", "processes"].iter().all(|name| unclear.names.contains(*name)));
}

#[test]
fn hostile_texts_end() {
    let wide = format!("SELECT {} FROM users", (0..2_000).map(|at| format!("c{at}")).collect::<Vec<_>>().join(","));
    let many = format!("SELECT 1 FROM {}", (0..60).map(|at| format!("t{at}")).collect::<Vec<_>>().join(","));
    let endless = format!("SELECT * FROM users WHERE {}", vec!["uid = 1"; 20_000].join(" OR "));
    let nested = format!("SELECT {}uid FROM users{}", "(SELECT ".repeat(90), ")".repeat(90));
    let nots = format!("SELECT {}1", "NOT ".repeat(50_000));
    let compound = vec!["SELECT uid FROM users"; 5_000].join(" UNION ALL ");
    for sql in [wide, many, endless, nested, nots, compound] {
        let _ = reads(&sql, &tables());
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(words in prop::collection::vec(0..WORDS.len(), 0..25), blank in "[ \n]") {
        let sql = words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(&blank);
        let _ = reads(&sql, &tables());
        let _ = reads(&format!("SELECT {sql}"), &tables());
    }

    #[test]
    fn no_bytes_make_it_panic(sql in "\\PC{0,80}") {
        let _ = reads(&sql, &tables());
    }
}

const WORDS: [&str; 40] = [
    "SELECT",
    "FROM",
    "WHERE",
    "processes",
    "users",
    "p.pid",
    "pid",
    "*",
    ",",
    "(",
    ")",
    "AS",
    "p",
    "WITH",
    "UNION",
    "ALL",
    "JOIN",
    "USING",
    "ON",
    "=",
    "'text'",
    "\"name\"",
    "[file]",
    "`uid`",
    "1",
    "main.users",
    "temp.file",
    "nosuch",
    "count(*)",
    "NATURAL",
    "LEFT",
    "IN",
    "EXISTS",
    "ORDER BY",
    "LIMIT",
    "json_each",
    "--x\n",
    "/*",
    "my_envs",
    "EXPLAIN",
];
