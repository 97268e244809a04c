//! A database server that several servers share: preparing it, moving to it, and what agents notice when it fails.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use muster::config::Config;

use crate::support::mariadb::{self, Mariadb};
use crate::support::{Database, ServerSetup, TestServer, assert_refused, eventually, on_mariadb};

/// Agents are told that something is missing within 2 s; machines may be slow.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);

fn is_skipped() -> bool {
    let is_skipped = !mariadb::is_chosen();
    if is_skipped {
        eprintln!("skipped: set MUSTER_TEST_DB=mariadb");
    }
    is_skipped
}

/// Settings for an empty database.
fn empty_database() -> Config {
    let (mut config, address) = (Config::default(), mariadb::shared());
    config.mysql.address.clone_from(&address.address);
    config.mysql.username.clone_from(&address.username);
    config.mysql.password = muster::config::Secret::new(&address.password);
    config.mysql.database = address.new_database();
    config
}

fn flags(config: &Config) -> Vec<String> {
    let mysql = &config.mysql;
    vec![
        format!("--mysql_address={}", mysql.address),
        format!("--mysql_username={}", mysql.username),
        format!("--mysql_password={}", mysql.password.reveal()),
        format!("--mysql_database={}", mysql.database),
    ]
}

fn muster(words: &[&str], config: &Config) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(words).args(flags(config)).env_clear();
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_database_is_prepared_once_by_however_many() {
    if is_skipped() {
        return;
    }
    let config = empty_database();
    let folder = tempfile::tempdir().unwrap();
    let refused = muster(&["serve", "--server_address=127.0.0.1:0"], &config).current_dir(&folder).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("muster prepare db"), "{}", said(&refused));
    assert!(!said(&refused).contains(config.mysql.password.reveal()));

    let prepare = || muster(&["prepare", "db", "--no-prompt"], &config).output().unwrap();
    let outputs = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(prepare)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    let count = |text: &str| outputs.iter().filter(|output| said(output).contains(text)).count();
    assert!(outputs.iter().all(|output| output.status.success()));
    assert_eq!((count("Migrations completed."), count("Nothing to do.")), (1, 3));

    Database::of(&config).execute("INSERT INTO seaql_migrations VALUES ('m9999_of_the_future', 0)");
    assert!(said(&prepare()).contains("Nothing to do."));
}

/// A stopped server on SQLite with hosts, and many memberships besides.
async fn filled(setup: &ServerSetup) -> (agent_compat::TestAgent, crate::support::Rest) {
    let mut server = setup.start().await;
    let rest = crate::support::Rest::new(&setup.address()).set_up().await;
    let agent = setup.address().enrolled(1).await;
    server.signal("TERM");
    server.ended(Duration::from_secs(20)).await;
    let database = rusqlite::Connection::open(setup.folder().join("muster.db")).unwrap();
    database
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 150999) \
             INSERT INTO label_members (label_id, host_id) SELECT 6, i FROM n; \
             INSERT INTO activities (created_at, actor_name, kind, details) VALUES (1, 'Zoë 🦀', 'text ''quoted''\\', ''); \
             INSERT INTO schedule_samples (host_id, received_at, unix_time, start_time, pid, stalled_since, sample) \
             VALUES (1, 7, 8, 9, 10, NULL, x'01ff00'), (2, 7, 8, 9, 10, 11, x''); \
             INSERT INTO query_versions (pack, name, sql_hash, created_at) VALUES ('', 'q', -9223372036854775808, 1); \
             INSERT INTO query_costs (query_version_id, span, bucket, costs) VALUES (1, 0, 5, x'00'), (1, 1, 5, x'0100'); \
             INSERT INTO cost_parts (hour, part, node, costs) VALUES (6, 1, 'n', x'01'); \
             INSERT INTO denylisted_queries (host_id, pack, name, since) VALUES (1, 'p', 'q', 3); \
             INSERT INTO worker_restarts (host_id, seen_at, suspects) VALUES (1, 3, '[]'); \
             UPDATE sqlite_sequence SET seq = 4711 WHERE name = 'activities'",
        )
        .unwrap();
    (agent, rest)
}

#[tokio::test]
async fn a_database_is_moved_whole_in_spite_of_an_interruption() {
    if is_skipped() {
        return;
    }
    let setup = ServerSetup::on_sqlite(&[]);
    let (mut agent, _) = filled(&setup).await;
    let config = empty_database();
    let from = format!("sqlite:{}", setup.folder().join("muster.db").display());
    let copy = || muster(&["migrate-data", "--from", &from, "--to", "mysql:"], &config);

    assert!(said(&muster(&["prepare", "db"], &config).output().unwrap()).contains("completed"));
    let target = Database::of(&config);
    let mut first = copy().stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("some rows are copied", Duration::from_secs(30), async || {
        (target.number("SELECT count(*) FROM label_members") > 0).then_some(())
    })
    .await;
    first.kill().unwrap();
    first.wait().unwrap();
    let half = target.number("SELECT count(*) FROM label_members");
    assert!(half < 150_000, "all {half} were copied before it was interrupted");
    let serve =
        muster(&["serve", "--server_address=127.0.0.1:0"], &config).current_dir(setup.folder()).output().unwrap();
    assert!(said(&serve).contains("migrate-data"), "{}", said(&serve));

    let second = copy().output().unwrap();
    assert!(second.status.success(), "{}", said(&second));
    assert!(said(&second).contains("Copied and compared"), "{}", said(&second));
    let source = rusqlite::Connection::open(setup.folder().join("muster.db")).unwrap();
    for sql in [
        "SELECT count(*) FROM label_members",
        "SELECT sum(host_id) FROM label_members WHERE label_id = 6",
        "SELECT count(*) FROM activities WHERE actor_name = 'Zoë 🦀'",
        "SELECT max(id) FROM activities",
        "SELECT count(*) FROM schedule_samples WHERE sample = x'01ff00' AND stalled_since IS NULL",
        "SELECT sql_hash FROM query_versions",
        "SELECT count(*) FROM query_costs WHERE span = 1 AND costs = x'0100'",
        "SELECT count(*) FROM cost_parts, denylisted_queries, worker_restarts WHERE until IS NULL",
        "SELECT statistics_updated_at FROM hosts",
    ] {
        let there: i64 = source.query_row(sql, [], |row| row.get(0)).unwrap();
        let sql = sql.replace("sum(host_id)", "CAST(sum(host_id) AS SIGNED)");
        assert_eq!(target.number(&sql), there, "{sql}");
    }
    drop(source);
    target.execute("INSERT INTO activities (kind, details) VALUES ('next', '')");
    assert_eq!(target.number("SELECT max(id) FROM activities"), 4712, "no id comes back");
    let third = copy().output().unwrap();
    assert!(!third.status.success() && said(&third).contains("not empty"), "{}", said(&third));

    let flags = flags(&config);
    let mut command = setup.command();
    command.args(flags);
    let _server = setup.start_by(command).await;
    assert!(agent.config().await.verdict.is_success(), "the node key is still good");
    assert_eq!(agent.counters().node_invalid(), 0);
}

#[tokio::test]
async fn a_database_in_use_is_not_moved() {
    if is_skipped() {
        return;
    }
    let setup = ServerSetup::on_sqlite(&[]);
    let _server = setup.start().await;
    let from = format!("sqlite:{}", setup.folder().join("muster.db").display());
    let refused = muster(&["migrate-data", "--from", &from, "--to", "mysql:"], &empty_database()).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("in use"), "{}", said(&refused));
}

/// New hosts are refused in time, and the known one goes on.
async fn assert_only_enrollment_suffers(server: &TestServer, known: &mut agent_compat::TestAgent, what: &str) {
    for index in [901, 902] {
        let start = Instant::now();
        assert_refused(&server.agent(index).enroll().await, what);
        let took = start.elapsed();
        assert!(took < REFUSED_WITHIN, "{what}: refused after {took:?}");
    }
    assert!(known.config().await.verdict.is_success(), "{what}");
    assert!(known.read().await.verdict.is_success(), "{what}");
    known.push_result_line(format!(r#"{{"line":"{what}"}}"#));
    assert!(known.flush_logs().await[0].verdict.is_success(), "{what}");
    assert_eq!(known.counters().node_invalid(), 0, "{what}");
}

#[tokio::test]
async fn a_database_that_goes_away_or_takes_no_writes_disturbs_only_enrollment() {
    if is_skipped() {
        return;
    }
    // What is committed must outlive the kill.
    let mut own = Mariadb::start(&["--innodb-flush-log-at-trx-commit=1"]);
    let server = TestServer::with(|config| on_mariadb(config, &own.address())).await;
    let mut known = server.enrolled(1).await;
    assert!(known.config().await.verdict.is_success());

    own.admin().execute("SET GLOBAL read_only = 1").unwrap();
    assert_only_enrollment_suffers(&server, &mut known, "read-only").await;
    server.run_tasks().await;
    own.admin().execute("SET GLOBAL read_only = 0").unwrap();
    eventually("hosts enroll again", RECOVERED_WITHIN, async || {
        server.agent(2).enroll().await.verdict.is_success().then_some(())
    })
    .await;

    own.kill();
    assert_only_enrollment_suffers(&server, &mut known, "gone").await;
    server.run_tasks().await;
    own.resume();
    eventually("hosts enroll again", RECOVERED_WITHIN, async || {
        server.agent(3).enroll().await.verdict.is_success().then_some(())
    })
    .await;
    assert!(known.config().await.verdict.is_success());
    assert_eq!(known.counters().node_invalid(), 0);
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 3);
}
