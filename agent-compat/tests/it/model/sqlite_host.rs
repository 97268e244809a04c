use agent_compat::{
    Identity, Platform, SqliteHost,
    tables::{Context, OwnRows, OwnTable, Row, Tables},
};

struct OnlyInfo;

impl OwnRows for OnlyInfo {
    fn rows(&self, table: OwnTable) -> Vec<Row> {
        if table != OwnTable::Info {
            return Vec::new();
        }
        let values = ["812", "", "", "5.12.0", "", "1", "", "", "", "1795190000", "811", "9"];
        let names = ["pid", "", "", "", "", "", "", "", "", "start_time", "", ""];
        vec![names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()]
    }
}

struct Host {
    identity: Identity,
    tables: SqliteHost,
    now_ms: u64,
}

impl Host {
    fn new(platform: Platform) -> Self {
        Self { identity: Identity::simulated(3, 1, platform), tables: SqliteHost::new(), now_ms: 1_795_190_400_000 }
    }

    fn ask(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        let context = Context { now_ms: self.now_ms, identity: &self.identity, own: &OnlyInfo };
        self.tables.query(sql, &context)
    }

    fn one(&mut self, sql: &str) -> String {
        let rows = self.ask(sql).unwrap();
        rows.first().and_then(|row| row.first()).map(|(_, value)| value.clone()).unwrap()
    }
}

#[test]
fn tables_exist_where_the_platform_has_them() {
    let cases = [
        ("users", true, true, true),
        ("processes", true, true, true),
        ("os_version", true, true, true),
        ("system_info", true, true, true),
        ("interface_addresses", true, true, true),
        ("etc_hosts", true, true, true),
        ("deb_packages", true, false, false),
        ("kernel_modules", true, false, false),
        ("memory_info", true, false, false),
        ("apps", false, true, false),
        ("launchd", false, true, false),
        ("programs", false, false, true),
        ("services", false, false, true),
        ("crontab", true, true, false),
        ("load_average", true, true, false),
        ("osquery_info", true, true, true),
        ("osquery_schedule", true, true, true),
        ("no_such_table", false, false, false),
    ];
    for (at, platform) in [Platform::Linux, Platform::Darwin, Platform::Windows].into_iter().enumerate() {
        let mut host = Host::new(platform);
        for (table, linux, darwin, windows) in cases {
            let expected = [linux, darwin, windows][at];
            match host.ask(&format!("SELECT * FROM {table}")) {
                Ok(_) => assert!(expected, "{table} on {platform:?}"),
                Err(message) => {
                    assert!(!expected, "{table} on {platform:?}: {message}");
                    assert_eq!(message, format!("no such table: {table}"));
                }
            }
        }
    }
}

#[test]
fn sql_is_real_and_values_are_text() {
    let mut host = Host::new(Platform::Linux);
    assert_eq!(host.one("SELECT username FROM users WHERE uid = 0"), "root");
    assert_eq!(host.one("SELECT count(*) FROM users u JOIN user_groups g USING (uid) WHERE u.uid = 1000"), "2");
    assert_eq!(host.one("SELECT platform_like IS NOT NULL FROM os_version"), "1");
    assert_eq!(host.one("SELECT p.name FROM osquery_info i JOIN processes p USING (pid)"), "osqueryd");
    let row = host.ask("SELECT 1 AS i, 1.5 AS d, NULL AS n, x'00ff' AS b, 'é' AS t; -- end").unwrap().remove(0);
    let values: Vec<_> = row.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(values, [("i", "1"), ("d", "1.5"), ("n", ""), ("b", ""), ("t", "é")]);
    assert_eq!(host.one("SELECT split('a.b.c', '.', 1)"), "b");
    assert_eq!(host.one("SELECT hostname FROM system_info"), host.identity.fqdn);
}

#[test]
fn errors_read_like_the_agents() {
    let mut host = Host::new(Platform::Linux);
    assert_eq!(host.ask("selec 1").unwrap_err(), "near \"selec\": syntax error");
    assert_eq!(host.ask("SELECT nope FROM users").unwrap_err(), "no such column: nope");
    assert_eq!(host.ask("SELECT 1; SELECT 2").unwrap_err(), "map::at");
}

#[test]
fn nothing_can_be_changed_and_nothing_runs_for_ever() {
    let mut host = Host::new(Platform::Linux);
    let before = host.one("SELECT count(*) FROM users");
    for sql in [
        "DELETE FROM users",
        "INSERT INTO users (uid) VALUES (1)",
        "UPDATE users SET uid = 1",
        "DROP TABLE users",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "ATTACH '/tmp/x' AS x",
        "PRAGMA query_only = OFF",
        "VACUUM INTO '/tmp/x'",
        "BEGIN",
    ] {
        assert!(host.ask(sql).is_err(), "{sql}");
    }
    assert_eq!(host.one("SELECT count(*) FROM users"), before);
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
    assert_eq!(host.ask(endless).unwrap_err(), "interrupted");
    let large = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT hex(zeroblob(100000)) FROM n";
    assert_eq!(host.ask(large).unwrap_err(), "interrupted");
    assert_eq!(host.one("SELECT 7"), "7", "later queries are not affected");
}

#[test]
fn processes_change_over_time_and_stay_the_same_for_one_moment() {
    let mut host = Host::new(Platform::Linux);
    let sql = "SELECT pid, name FROM processes ORDER BY pid";
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let rows = host.ask(sql).unwrap();
        assert_eq!(rows, host.ask(sql).unwrap());
        assert!(rows.len() >= 6);
        seen.insert(format!("{rows:?}"));
        host.now_ms += 300_000;
    }
    assert!(seen.len() > 3);
}

#[test]
fn schedule_columns_follow_the_version() {
    let mut host = Host::new(Platform::Linux);
    for (version, present, absent) in [
        ("4.3.0", "blacklisted", "denylisted"),
        ("5.2.0", "denylisted", "wall_time_ms"),
        ("5.12.0", "wall_time_ms, denylisted, blacklisted, last_memory", "nothing"),
    ] {
        host.identity.osquery_version = version.to_owned();
        assert!(host.ask(&format!("SELECT {present} FROM osquery_schedule")).is_ok(), "{version}");
        assert!(host.ask(&format!("SELECT {absent} FROM osquery_schedule")).is_err(), "{version}");
    }
}

#[test]
fn all_tables_of_a_host_and_their_columns_can_be_asked_for_at_one_time() {
    let sql = "SELECT r.name, c.name, c.type, c.hidden FROM osquery_registry AS r, pragma_table_xinfo(r.name) AS c \
               WHERE r.registry = 'table'";
    for platform in [Platform::Linux, Platform::Darwin, Platform::Windows] {
        let mut host = Host::new(platform);
        let registered = host.one("SELECT count(*) FROM osquery_registry WHERE registry = 'table'");
        let rows = host.ask(sql).unwrap();
        let tables: std::collections::BTreeSet<&str> = rows.iter().map(|row| row[0].1.as_str()).collect();
        assert_eq!(tables.len().to_string(), registered, "{platform:?}");
        let has = |row: [&str; 4]| rows.iter().any(|found| found.iter().map(|(_, value)| value.as_str()).eq(row));
        assert!(has(["osquery_schedule", "name", "TEXT", "0"]) && has(["hash", "sha256", "TEXT", "0"]));
        assert_eq!(host.one("SELECT count(*) > 0 FROM users"), "1", "those that were asked for have rows");
    }
}
