use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agent_compat::TestAgent;
use muster_api::rest::LoggedIn;
use serde_json::json;
use tokio::task::JoinSet;

use crate::rest::hosts::add_hosts;
use crate::support::{Database, PASSWORD, Rest, ServerProcess, ServerSetup, count, eventually};

/// Requests for everything at one time.
const LISTS: usize = 10;

/// What resident memory may grow by, whatever the number of hosts.
const MAX_GROWTH: u64 = 64 << 20;

const AGENTS: u32 = 20;

/// Between two requests of an agent.
const PACE: Duration = Duration::from_millis(20);

/// Answers to agents that are timed before the lists.
const QUIET_ANSWERS: usize = 4_000;

/// How long a list may take in a build that is not optimized, on a machine that does other work.
const READ_WITHIN: Duration = Duration::from_secs(30 * 60);

const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// Agents that ask for their config until they are told to stop; how long each answer took.
struct Watch {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    asking: JoinSet<(TestAgent, Vec<Duration>)>,
}

impl Watch {
    fn of(agents: Vec<TestAgent>) -> Self {
        let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut asking = JoinSet::new();
        for mut agent in agents {
            let (is_over, answers) = (Arc::clone(&is_over), Arc::clone(&answers));
            asking.spawn(async move {
                let (mut took, mut pace) = (Vec::new(), tokio::time::interval(PACE));
                while !is_over.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let asked = Instant::now();
                    assert!(agent.config().await.verdict.is_success());
                    took.push(asked.elapsed());
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                (agent, took)
            });
        }
        Self { is_over, answers, asking }
    }

    /// The agents and the time that 99 of 100 answers took at most.
    async fn end(mut self) -> (Vec<TestAgent>, Duration) {
        self.is_over.store(true, Ordering::Relaxed);
        let (mut agents, mut all) = (Vec::new(), Vec::new());
        while let Some(asked) = self.asking.join_next().await {
            let (agent, took) = asked.unwrap();
            agents.push(agent);
            all.extend(took);
        }
        all.sort_unstable();
        (agents, all[all.len() * 99 / 100])
    }
}

/// A server with many hosts, and somebody with the lowest role.
struct ManyHosts {
    setup: ServerSetup,
    server: ServerProcess,
    observer: Rest,
    hosts: u32,
}

impl ManyHosts {
    async fn start(hosts: u32) -> Self {
        let setup = ServerSetup::on_sqlite(&["server_tls=false"]);
        let server = setup.start().await;
        let rest = Rest::new(&setup.address()).set_up().await;
        let user = json!({ "email": "observer@example.com", "password": PASSWORD, "global_role": "observer" });
        assert_eq!(rest.post("users/admin", &user).await.status, 200);
        let login = json!({ "email": "observer@example.com", "password": PASSWORD });
        let observer = rest.with_token(&rest.post("login", &login).await.read::<LoggedIn>().token);
        let database = Database::Sqlite(rusqlite::Connection::open(setup.folder().join("muster.db")).unwrap());
        add_hosts(&database, 1_768_478_400_000_000, hosts);
        drop(database);
        // It reads what others have put into the database when it starts.
        server.kill();
        let server = setup.start().await;
        Self { setup, server, observer, hosts }
    }
}

/// Reads everything of all hosts and gives the number of bytes.
async fn read_everything(rest: &Rest) -> usize {
    read(rest, "hosts", b"\n  ]\n}\n").await.0
}

/// Reads a list whose end is known, and gives the numbers of its bytes and lines.
async fn read(rest: &Rest, path: &str, last: &[u8]) -> (usize, usize) {
    let mut response = rest.getting(path).timeout(READ_WITHIN).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut bytes, mut lines, mut end) = (0, 0, Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len();
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        end.extend_from_slice(&chunk);
        end.drain(..end.len().saturating_sub(last.len()));
    }
    assert!(end.ends_with(last), "the list is whole");
    (bytes, lines)
}

/// The lowest role can ask for everything, and ask again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_all_hosts_take_bounded_memory_and_do_not_hold_agents_up() {
    let many = ManyHosts::start(count(4_000, 100_000)).await;
    let (setup, server, observer, hosts) = (&many.setup, &many.server, &many.observer, many.hosts);
    let mut agents = Vec::new();
    for index in 0..AGENTS {
        agents.push(setup.address().enrolled(index).await);
    }
    // The first list warms up what every list needs.
    read_everything(observer).await;

    let watch = Watch::of(agents);
    eventually("agents are watched", QUIET_WITHIN, async || {
        (watch.answers.load(Ordering::Relaxed) >= QUIET_ANSWERS).then_some(())
    })
    .await;
    let (agents, undisturbed) = watch.end().await;
    let before = server.peak_bytes();
    let watch = Watch::of(agents);
    let read = futures_util::future::join_all((0..LISTS).map(|_| read_everything(observer))).await;
    let (_, disturbed) = watch.end().await;
    let growth = server.peak_bytes() - before;
    eprintln!(
        "{LISTS} lists of {hosts} hosts, {} MiB each: {} MiB of memory more; 99 of 100 configs took at most {undisturbed:?} \
         before and {disturbed:?} meanwhile",
        read[0] >> 20,
        growth >> 20
    );
    assert!(read.iter().all(|bytes| *bytes > hosts as usize * 1_000));
    assert!(growth <= MAX_GROWTH, "resident memory grew by {} MiB", growth >> 20);
    // In few of everything one slow answer is the slowest of a hundred.
    if count(false, true) {
        assert!(disturbed <= undisturbed * 2, "agents waited {disturbed:?} instead of {undisturbed:?}");
    }
}

/// Comma-separated values of the whole fleet take what the ids of its hosts take, and some parts on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_all_hosts_takes_bounded_memory() {
    let many = ManyHosts::start(count(4_000, 500_000)).await;
    let (observer, hosts) = (&many.observer, many.hosts as usize);
    // The first page warms up what every list needs. So many hosts take a while to load.
    eventually("all hosts are loaded", READ_WITHIN, async || {
        (observer.get("hosts?per_page=200").await.status == 200).then_some(())
    })
    .await;
    let before = many.server.peak_bytes();
    let (bytes, lines) = read(observer, "hosts/report?format=csv", b"\r\n").await;
    let growth = many.server.peak_bytes() - before;
    eprintln!("{hosts} hosts as {} MiB of CSV: {} MiB of memory more", bytes >> 20, growth >> 20);
    assert_eq!(lines, hosts + 1);
    assert!(bytes > hosts * 500);
    assert!(growth <= MAX_GROWTH, "resident memory grew by {} MiB", growth >> 20);
}

/// A search that names as many selected hosts as there may be, the same one again and again, reads ten hosts and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_for_targets_take_bounded_memory() {
    let many = ManyHosts::start(count(4_000, 100_000)).await;
    let observer = &many.observer;
    let search = |hosts: Vec<u32>| {
        let body = json!({ "selected": { "hosts": hosts } });
        async move { observer.post("targets", &body).await }
    };
    // The first one warms up what every search needs.
    search(vec![1]).await;
    let before = many.server.peak_bytes();
    let found = futures_util::future::join_all((0..LISTS).map(|_| search(vec![1; 100_000]))).await;
    let growth = many.server.peak_bytes() - before;
    eprintln!("{LISTS} searches among {} hosts: {} MiB of memory more", many.hosts, growth >> 20);
    for answer in found {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["targets"]["hosts"].as_array().unwrap().len(), 10);
    }
    assert!(growth <= MAX_GROWTH, "resident memory grew by {} MiB", growth >> 20);
}
