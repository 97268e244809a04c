//! The disk has no room for log lines. Agents are told to keep them, and once there is room every line is in the file
//! once and whole.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent_compat::Carver;
use agent_compat::agent::AgentEndpoint;

use crate::support::{
    Address, KeptLines, Load, Rest, ServerProcess, ServerSetup, TestServer, assert_refused, deliver_all, eventually,
};

const LINE_BYTES: usize = 8 * 1024;

async fn load(address: &Address) -> Load {
    let mut agents = Vec::new();
    for index in 0..8 {
        agents.push(address.enrolled(index).await);
    }
    Load::start(agents, LINE_BYTES)
}

/// Waits until writing has failed, makes room, and checks what became of every line.
async fn fill_and_recover(load: Load, results: &Path, size_when_full: u64, make_room: impl AsyncFnOnce()) {
    eventually("the file is full", Duration::from_secs(30), async || {
        let size = std::fs::metadata(results).unwrap().len();
        assert!(size <= size_when_full, "{size} bytes");
        (size + 2 * 1024 * 1024 > size_when_full).then_some(())
    })
    .await;
    let rounds = load.rounds();
    eventually("it stays full for a while", Duration::from_secs(20), async || {
        (load.rounds() > rounds + 30).then_some(())
    })
    .await;
    make_room().await;
    let (mut agents, report, ledger) = load.finish().await;
    assert!(!report.refused.is_empty(), "no write has failed");
    assert!(report.refused.iter().all(|(endpoint, _)| *endpoint == AgentEndpoint::Log), "{:?}", report.refused);
    assert_eq!((report.node_invalid, report.unanswered, report.empty), (0, 0, 0));
    eprintln!("{} batches refused, such as: {}", report.refused.len(), report.refused[0].1);
    deliver_all(&mut agents, Duration::from_secs(20)).await;
    let kept = KeptLines::read(results);
    assert_eq!(kept.missing_in(&ledger.results()), [""; 0], "lines nobody was told are kept");
    assert_eq!(kept.total(), ledger.results().total());
    assert_eq!(kept, ledger.results());
}

/// Starts a server whose writes fail beyond a limit, once there is one, instead of ending it by a signal.
async fn limitable(setup: &mut ServerSetup) -> ServerProcess {
    setup.survive_full_disks();
    let process = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    process
}

/// Sets how large the files of a process may grow.
fn limit_files(process: &ServerProcess, bytes: &str) {
    let (pid, limit) = (process.pid().to_string(), format!("--fsize={bytes}:unlimited"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

#[tokio::test]
async fn a_file_that_may_not_grow_loses_and_doubles_nothing() {
    const LIMIT: u64 = 6 * 1024 * 1024;
    let mut setup = ServerSetup::new(&[]);
    let mut process = limitable(&mut setup).await;
    limit_files(&process, &LIMIT.to_string());
    let load = load(&setup.address()).await;
    fill_and_recover(load, &setup.results(), LIMIT, async || limit_files(&process, "unlimited")).await;
    assert!(process.is_running());
    // However many batches were refused, the log says it some times a minute, and once that it is over.
    let said = process.said();
    let lines = said.lines().filter(|line| line.contains("log lines not written")).count();
    assert!((1..=30).contains(&lines), "{lines} lines: {said}");
    assert!(said.contains("log lines are written again"), "{said}");
}

/// Without room for the database nobody new can enroll, and nobody else notices.
#[tokio::test]
async fn a_database_that_may_not_grow_disturbs_only_enrollment() {
    let mut setup = ServerSetup::on_sqlite(&[]);
    let mut process = limitable(&mut setup).await;
    let mut known = setup.address().enrolled(0).await;
    let size = std::fs::metadata(setup.folder().join("muster.db-wal")).unwrap().len();
    limit_files(&process, &(size + 20_000).to_string());
    let mut refused = None;
    for index in 1..40 {
        let mut agent = setup.address().agent(index);
        let exchange = agent.enroll().await;
        if !exchange.verdict.is_success() {
            assert_refused(&exchange, "enrollment without room");
            refused = Some(agent);
        }
    }
    let mut refused = refused.expect("every enrollment found room");
    for _ in 0..3 {
        assert!(known.config().await.verdict.is_success());
        assert!(known.read().await.verdict.is_success());
        known.push_result_line(r#"{"line":1}"#);
        assert!(known.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    }
    limit_files(&process, "unlimited");
    let exchange = refused.enroll().await;
    assert!(exchange.verdict.is_success(), "{exchange:?}; {}", process.said());
    assert!(process.is_running());
}

/// A small file system in memory, unmounted when it goes out of scope.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where mounting is not allowed.
    fn mount(folder: &Path, bytes: usize) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let size = format!("size={bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still be closing its files.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_loses_and_doubles_nothing() {
    const SIZE: usize = 16 * 1024 * 1024;
    const FILLER: usize = 12 * 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), SIZE) else {
        eprintln!("skipped: mounting a file system is not allowed here");
        return;
    };
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![b'x'; FILLER]).unwrap();
    let server = TestServer::with(|config| {
        config.filesystem.result_log_file = disk.0.join("results");
    })
    .await;
    let load = load(&server.address).await;
    let full = (SIZE - FILLER) as u64;
    fill_and_recover(load, &server.results(), full, async || std::fs::remove_file(&filler).unwrap()).await;
}

/// Blocks that find no room are refused as text, so that the agent sends them again, and nothing of them is left.
#[tokio::test]
async fn a_full_disk_refuses_blocks_of_carves_until_there_is_room() {
    const SIZE: usize = 2 * 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), SIZE) else {
        eprintln!("skipped: mounting a file system is not allowed here");
        return;
    };
    let server = TestServer::with(|config| config.carves.dir = Some(disk.0.join("carves"))).await;
    let agent = server.enrolled(1).await;
    let contents: Vec<u8> = (0..1_500_000_u32).map(|at| (at / 3) as u8).collect();
    let carver = Carver::numbered(1, 500_000, contents);
    let begun: serde_json::Value = serde_json::from_slice(carver.begin(&agent).await.body()).unwrap();
    let session = begun["session_id"].as_str().unwrap();
    assert_eq!(carver.block(&agent, session, 0).await.status(), 200);
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![b'x'; 1_300_000]).unwrap();
    for _ in 0..20 {
        let refused = carver.block(&agent, session, 1).await;
        assert_eq!(refused.status(), 503);
        assert!(agent_compat::accepted(refused.body()).is_none(), "{refused:?}");
    }
    let carve: serde_json::Value = server.rest.read("carves/1").await;
    assert_eq!(carve["carve"]["received_blocks"], 1);
    let folder = std::fs::read_dir(disk.0.join("carves")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "a part of a block is left over");
    std::fs::remove_file(&filler).unwrap();
    for block in 1..3 {
        assert_eq!(carver.block(&agent, session, block).await.status(), 200);
    }
    let kept = server.rest.getting("carves/1/contents").send().await.unwrap().bytes().await.unwrap();
    assert!(kept == carver.contents);
}
