use std::time::Duration;

use crate::support::{KeptLines, Load, Rest, ServerSetup, TestServer, deliver_all, eventually};

#[tokio::test]
async fn a_moved_log_file_keeps_its_lines_and_a_new_one_gets_the_next() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let load = Load::start((0..5).map(|index| setup.address().agent(index)), 100);
    let mut files = vec![setup.results()];
    for number in 0..3 {
        let rounds = load.rounds();
        eventually("agents are at work", Duration::from_secs(20), async || (load.rounds() > rounds + 3).then_some(()))
            .await;
        let moved = setup.folder().join(format!("logs/moved-{number}"));
        std::fs::rename(setup.results(), &moved).unwrap();
        server.signal("HUP");
        eventually("there is a new file", Duration::from_secs(10), async || {
            std::fs::metadata(setup.results()).is_ok_and(|file| file.len() > 0).then_some(())
        })
        .await;
        files.push(moved);
    }
    let (mut agents, report, ledger) = load.finish().await;
    deliver_all(&mut agents, Duration::from_secs(10)).await;
    assert!(report.refused.is_empty() && report.unanswered == 0, "{report:?}");
    let mut kept = 0;
    for file in &files {
        let lines = KeptLines::read(file);
        assert!(lines.total() > 0, "{} is empty", file.display());
        assert_eq!(lines.missing_in(&ledger.results()), [""; 0]);
        kept += lines.total();
    }
    assert_eq!(kept, ledger.results().total());
}

#[tokio::test]
async fn a_full_file_is_put_aside_and_no_line_with_it() {
    let server = TestServer::with(|config| {
        config.filesystem.enable_log_rotation = true;
        config.filesystem.rotate_size = muster::config::Bytes::kib(4);
        config.filesystem.rotate_keep = 100;
    })
    .await;
    let mut agent = server.enrolled(1).await;
    for number in 0..60 {
        agent.push_result_line(format!(r#"{{"line":{number},"padding":"{}"}}"#, "x".repeat(500)));
        assert!(agent.flush_logs().await[0].verdict.is_success());
    }
    let mut kept = KeptLines::read(&server.results()).total();
    let mut files = 1;
    while let Some(older) =
        Some(format!("{}.{files}", server.results().display())).filter(|path| std::fs::exists(path).unwrap())
    {
        kept += KeptLines::read(older.as_ref()).total();
        files += 1;
    }
    assert_eq!(kept, 60);
    assert!(files > 5, "{files} files");
}

#[tokio::test]
async fn files_are_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = TestServer::start().await;
    for (path, mode) in [(server.results(), 0o640), (server.config().server.tls_dir.join("server.key"), 0o600)] {
        let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{} has mode {found:o}", path.display());
    }
}

/// It holds enroll secrets in clear, which agents must be told.
#[tokio::test]
async fn the_database_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = TestServer::start().await;
    if !server.database().is_sqlite() {
        eprintln!("skipped: looks at SQLite's files");
        return;
    }
    let database = std::fs::metadata(&server.config().sqlite.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(database & 0o007, 0, "the database has mode {database:o}");
}
