//! The bus on real Redis processes, whole and while they fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::{IntCounterVec, IntGauge, Opts};

use super::{BatchLockReply, LinkMetrics, RedisBus, RedisShare};
use crate::bus::contract_tests::{self, claim, new_job};
use crate::bus::{
    BusError, ChangeEvent, ChangeEvents, EventPosition, JobChange, JobEvent, JobKey, LiveBus as _, Notifier as _,
    Opened, Start,
};
use crate::config::{self, Sources};
use crate::redis_processes::{ClusterRedis, RedisProcess, SentinelRedis, Settings, TlsRedis, outside};

/// Of tests with a Redis of their own.
const JOB: JobKey = JobKey { id: 1, made: None };

/// Longest wait for something to come right again.
const SOON: Duration = Duration::from_secs(20);

pub fn share(settings: &Settings) -> RedisShare {
    let counters = |name| IntCounterVec::new(Opts::new(name, "Help."), &["what"]).unwrap();
    let metrics = LinkMetrics {
        commands: counters("commands"),
        failures: counters("failures"),
        notifications: counters("notifications"),
        is_up: IntGauge::new("up", "Help.").unwrap(),
    };
    let sources = Sources { flags: settings.clone(), ..Sources::default() };
    let config = config::load(&sources).unwrap().config.redis;
    RedisShare::new(&config, Duration::from_secs(3600), metrics).unwrap()
}

fn bus(settings: &Settings) -> RedisBus {
    share(settings).bus
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Everything, on one kind of Redis.
async fn whole_contract(settings: &Settings) {
    contract_tests::run(bus(settings), async || bus(settings)).await;
    let (one, two) = (Arc::new(bus(settings)), Arc::new(bus(settings)));
    // Many jobs, so that those of a cluster lie on all of its nodes.
    for job in 100..110 {
        contract_tests::events(&*one, &*two, new_job(job)).await;
        contract_tests::races(vec![Arc::clone(&one), Arc::clone(&two)], new_job(job + 50)).await;
    }
    watching(&one, &two, new_job(120)).await;
    notifications(settings).await;
    batches(settings).await;
}

/// Who watches here hears of what is appended there.
async fn watching(one: &RedisBus, two: &RedisBus, job: JobKey) {
    assert_eq!(one.open(job, Start::New).await.unwrap(), Opened::Made);
    assert_eq!(two.open(job, Start::New).await.unwrap(), Opened::Found);
    let mut end = one.watch(job).unwrap();
    assert_eq!(*end.borrow_and_update(), 0);
    assert!(two.answer(job, 7, b"{}".to_vec(), Vec::new()).await.unwrap());
    tokio::time::timeout(SOON, end.changed()).await.unwrap().unwrap();
    assert_eq!(one.length(job), two.length(job));
    assert_eq!(one.length(job), 3);
}

async fn hears(events: &mut ChangeEvents, wanted: ChangeEvent) {
    let hear = async { while events.next().await.unwrap() != wanted {} };
    tokio::time::timeout(SOON, hear).await.unwrap_or_else(|_| panic!("{wanted:?} was not heard"));
}

/// Rings until it is heard: there may be no subscription yet.
async fn rings_through(from: &RedisShare, events: &mut ChangeEvents, event: ChangeEvent) {
    eventually("an event is heard", async || {
        from.notifier.publish(event);
        tokio::time::timeout(Duration::from_millis(100), hears(events, event)).await.ok()
    })
    .await;
}

async fn notifications(settings: &Settings) {
    let (one, two) = (share(settings), share(settings));
    let (mut here, mut there) = (one.notifier.subscribe(), two.notifier.subscribe());
    rings_through(&one, &mut there, ChangeEvent::Events(1)).await;
    for event in
        [ChangeEvent::Schedule, ChangeEvent::Hosts, ChangeEvent::Sessions, ChangeEvent::Jobs, ChangeEvent::Events(7)]
    {
        one.notifier.publish(event);
        hears(&mut there, event).await;
    }
    hears(&mut here, ChangeEvent::Events(7)).await;
}

/// Its memory has them already. An event of another node that comes at the same time arrives all the same.
#[tokio::test]
async fn a_node_does_not_hear_of_its_own_changes() {
    let redis = RedisProcess::start().await;
    let (one, two) = (share(&redis.settings()), share(&redis.settings()));
    let (mut here, mut there) = (one.notifier.subscribe(), two.notifier.subscribe());
    rings_through(&one, &mut there, ChangeEvent::Sessions).await;
    rings_through(&two, &mut here, ChangeEvent::Hosts).await;
    one.notifier.publish(ChangeEvent::Schedule);
    two.notifier.publish(ChangeEvent::Jobs);
    // Redis delivers in order to both, so what comes before this is all that comes of the events above.
    hears(&mut there, ChangeEvent::Schedule).await;
    two.notifier.publish(ChangeEvent::Events(8));
    let mut heard = BTreeSet::new();
    while !heard.contains(&ChangeEvent::Events(8)) {
        heard.insert(tokio::time::timeout(SOON, here.next()).await.unwrap().unwrap());
    }
    let expected = [ChangeEvent::Jobs, ChangeEvent::Events(8)];
    assert!(expected.iter().all(|event| heard.contains(event)), "{heard:?}");
    assert!(!heard.contains(&ChangeEvent::Schedule) && !heard.contains(&ChangeEvent::Sessions), "{heard:?}");
}

async fn batches(settings: &Settings) {
    const LIFETIME: Duration = Duration::from_secs(60);
    let (one, two) = (share(settings).batches, share(settings).batches);
    let host = rand::random_range(1..i64::MAX);
    let at = crate::clock::Moment(1_768_478_400_000_000);
    let held = |last: &[u64]| BatchLockReply::Held { last: (!last.is_empty()).then(|| (last.to_vec(), at)) };
    assert_eq!(one.begin(host, "r").await, held(&[]));
    assert_eq!(two.begin(host, "r").await, BatchLockReply::Busy);
    assert_eq!(two.begin(host, "s").await, held(&[]), "logs are apart");
    assert!(!two.end(host, "r", Some((&[9], at)), LIFETIME).await, "only the holder can unlock");
    assert!(one.end(host, "r", Some((&[1, u64::MAX], at)), LIFETIME).await);
    assert_eq!(two.begin(host, "r").await, held(&[1, u64::MAX]));
    assert!(two.end(host, "r", None, LIFETIME).await);
    assert_eq!(one.begin(host, "r").await, held(&[1, u64::MAX]), "a refused batch changes nothing");
    assert!(one.end(host, "r", Some((&[], at)), LIFETIME).await);
    assert_eq!(two.begin(host, "r").await, held(&[]));
    assert!(two.end(host, "r", Some((&[1], at)), Duration::from_millis(1)).await);
    eventually("the hashes are forgotten", async || (one.begin(host, "r").await == held(&[])).then_some(())).await;
    assert!(one.end(host, "r", None, LIFETIME).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_redis_keeps_the_contract() {
    match outside() {
        Some(settings) => whole_contract(&settings).await,
        None => whole_contract(&RedisProcess::start().await.settings()).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_tls_keeps_the_contract() {
    let redis = TlsRedis::start().await;
    whole_contract(&redis.settings()).await;
    // Without the certificate, or under another name, there is no connection.
    for key in ["redis_tls_cert", "redis_tls_server_name"] {
        let mut settings = redis.settings();
        settings.retain(|(name, _)| name != key && !(key == "redis_tls_cert" && name == "redis_tls_key"));
        let refused = bus(&settings).open(JOB, Start::New).await.unwrap_err();
        assert!(matches!(refused, BusError::Unavailable(_)), "{key}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_behind_a_sentinel_keeps_the_contract() {
    let redis = SentinelRedis::start().await;
    whole_contract(&redis.settings()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_the_contract() {
    let redis = ClusterRedis::start().await;
    whole_contract(&redis.settings()).await;
    for node in &redis.nodes {
        let keys: u64 = node.ask(&["dbsize"]).trim().parse().unwrap();
        assert!(keys > 10, "jobs lie on every node: {keys}");
    }
}

/// Gives every server a user with these rights besides all keys and harmless commands, and returns the settings to use it.
fn with_rights(settings: Settings, servers: &[RedisProcess], rights: &[&str]) -> Settings {
    for server in servers {
        let mut rule = vec![
            "acl",
            "setuser",
            "app",
            "reset",
            "on",
            ">obvious-fake",
            "~*",
            "&*",
            "+@all",
            "-@admin",
            "-@dangerous",
            "-cluster",
            "-info",
        ];
        rule.extend(rights);
        assert_eq!(server.ask(&rule).trim(), "OK");
    }
    let login = [("redis_username", "app"), ("redis_password", "obvious-fake")];
    settings.into_iter().chain(login.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_recognised_whatever_its_access_list_forbids() {
    let redis = ClusterRedis::start().await;
    let enough: [&[&str]; 2] = [&["+cluster"], &["+cluster|slots", "+cluster|info"]];
    for rights in enough {
        let bus = bus(&with_rights(redis.settings(), &redis.nodes, rights));
        for id in 100..110 {
            assert_eq!(bus.open(new_job(id), Start::New).await.unwrap(), Opened::Made);
        }
    }
    let refused = bus(&with_rights(redis.settings(), &redis.nodes, &["+info"])).open(new_job(1), Start::New).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("grant +cluster|slots"), "{error}");
}

#[tokio::test]
async fn a_single_redis_needs_neither_cluster_nor_info_but_one_of_them() {
    let redis = RedisProcess::start().await;
    let servers = std::slice::from_ref(&redis);
    for (id, right) in [(1, "+cluster"), (2, "+info")] {
        let bus = bus(&with_rights(redis.settings(), servers, &[right]));
        assert_eq!(bus.open(new_job(id), Start::New).await.unwrap(), Opened::Made, "{right}");
    }
    let error =
        bus(&with_rights(redis.settings(), servers, &[])).open(new_job(3), Start::New).await.unwrap_err().to_string();
    assert!(error.contains("grant +cluster or +info"), "{error}");
}

#[tokio::test]
async fn a_password_is_needed_and_used() {
    let redis = RedisProcess::with(&["--requirepass", "hunter2"]).await;
    let mut settings = redis.settings();
    let error = bus(&settings).open(JOB, Start::New).await.unwrap_err().to_string();
    assert!(error.contains("NOAUTH") || error.contains("uthentica"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    settings.push(("redis_password_path".to_owned(), file.path().display().to_string()));
    settings.push(("redis_database".to_owned(), "3".to_owned()));
    assert_eq!(bus(&settings).open(JOB, Start::New).await.unwrap(), Opened::Made);
}

/// Calls that fail say so soon; the first of them may have to find out.
async fn is_unavailable(bus: &RedisBus, job: JobKey) {
    let refused = bus.claim(job, 1, crate::clock::Moment(0), true).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
}

/// Waits until claims succeed again, and claims a host that nobody else asks.
async fn works_again(bus: &RedisBus, job: JobKey) {
    let host = rand::random_range(1000..1_000_000);
    eventually("Redis is used again", async || {
        match bus.claim(job, host, crate::clock::Moment(0), true).await {
            // One that was carried out before its answer was lost is not given again.
            Ok(_) => Some(()),
            Err(BusError::Unavailable(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_left_alone_until_it_goes_on() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    let mut notifications = shared.notifier.subscribe();
    shared.bus.open(JOB, Start::New).await.unwrap();
    assert!(shared.bus.answer(JOB, 7, b"{}".to_vec(), Vec::new()).await.unwrap());

    redis.pause();
    is_unavailable(&shared.bus, JOB).await;
    // Nobody else waits: a thousand calls that each took their second would not be through.
    let began = Instant::now();
    for _ in 0..1000 {
        if began.elapsed() < Duration::from_millis(500) {
            is_unavailable(&shared.bus, JOB).await;
        }
    }
    assert!(matches!(shared.bus.read(JOB, 0, 1).await, Err(BusError::Unavailable(_))));
    assert_eq!(shared.batches.begin(7, "r").await, BatchLockReply::Unknown);
    assert!(!shared.batches.end(7, "r", None, SOON).await);
    shared.notifier.publish(ChangeEvent::Events(1));
    hears(&mut notifications, ChangeEvent::Events(1)).await;

    redis.resume();
    works_again(&shared.bus, JOB).await;
    let lines = eventually("answers are read again", async || shared.bus.read(JOB, 0, 100).await.ok()).await.lines;
    assert_eq!(lines.len(), 1, "it has lost nothing");
    eventually("log batches are shared again", async || {
        matches!(shared.batches.begin(8, "r").await, BatchLockReply::Held { .. }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_came_back_empty_has_lost_its_jobs() {
    let mut redis = RedisProcess::start().await;
    let (shared, other) = (share(&redis.settings()), share(&redis.settings()));
    let (mut here, mut there) = (shared.notifier.subscribe(), other.notifier.subscribe());
    rings_through(&other, &mut here, ChangeEvent::Jobs).await;
    rings_through(&shared, &mut there, ChangeEvent::Sessions).await;
    shared.bus.open(JOB, Start::New).await.unwrap();
    for host in 1..=3 {
        assert!(shared.bus.answer(JOB, host, b"{}".to_vec(), Vec::new()).await.unwrap());
    }
    let before = shared.bus.length(JOB);

    redis.kill();
    is_unavailable(&shared.bus, JOB).await;
    redis.restart().await;
    let lost = eventually("Redis is used again", async || {
        let claimed = shared.bus.claim(JOB, 9, crate::clock::Moment(0), true).await;
        claimed.err().filter(|error| !matches!(error, BusError::Unavailable(_)))
    })
    .await;
    assert_eq!(lost, BusError::Lost(JOB.id));
    hears(&mut here, ChangeEvent::Missed).await;
    hears(&mut there, ChangeEvent::Missed).await;

    let checkpoint = || Start::Checkpoint { settled: (1..=2).collect(), note: Vec::new(), covered: 0 };
    let opened = [
        shared.bus.open(JOB, checkpoint()).await.unwrap(),
        eventually("the other one is back", async || other.bus.open(JOB, checkpoint()).await.ok()).await,
    ];
    assert_eq!(opened, [Opened::Made, Opened::Found]);
    assert!(!claim(&other.bus, JOB, 1).await, "who was settled stays so");
    assert!(claim(&other.bus, JOB, 3).await, "who was not yet written down is asked again");
    // Who has read up to the old end goes on from there and misses nothing.
    assert!(shared.bus.answer(JOB, 3, b"new".to_vec(), Vec::new()).await.unwrap());
    let piece = shared.bus.read(JOB, before, 1).await.unwrap();
    assert_eq!(piece.lines.len(), 1);
    assert!(piece.next > before);
    shared.notifier.publish(ChangeEvent::Schedule);
    hears(&mut there, ChangeEvent::Schedule).await;
}

/// The server starts first, and Redis comes later.
#[tokio::test]
async fn redis_need_not_be_there_first() {
    let mut redis = RedisProcess::start().await;
    redis.kill();
    let shared = share(&redis.settings());
    let mut notifications = shared.notifier.subscribe();
    is_unavailable(&shared.bus, JOB).await;
    redis.restart().await;
    let opened = eventually("it is found", async || shared.bus.open(JOB, Start::New).await.ok()).await;
    assert_eq!(opened, Opened::Made);
    hears(&mut notifications, ChangeEvent::Missed).await;
}

/// Few reads are sent at one time. The others wait, but no read waits for the timeouts of those before it.
#[tokio::test]
async fn reads_fail_together_when_redis_hangs() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    shared.bus.open(JOB, Start::New).await.unwrap();
    assert!(shared.bus.answer(JOB, 7, b"{}".to_vec(), Vec::new()).await.unwrap());
    let read_all = || futures_util::future::join_all((0..20).map(|_| shared.bus.read(JOB, 0, 100)));
    for read in read_all().await {
        assert_eq!(read.unwrap().lines.len(), 1);
    }
    redis.pause();
    let began = Instant::now();
    for read in read_all().await {
        assert!(matches!(read, Err(BusError::Unavailable(_))), "{read:?}");
    }
    // Longer than one timeout, shorter than two.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    redis.resume();
    eventually("reads succeed again", async || shared.bus.read(JOB, 0, 100).await.ok()).await;
}

#[tokio::test]
async fn connections_that_were_cut_are_made_anew() {
    let redis = RedisProcess::start().await;
    let shared = share(&redis.settings());
    shared.bus.open(JOB, Start::New).await.unwrap();
    for host in 1..10 {
        redis.ask(&["client", "kill", "type", "normal"]);
        redis.ask(&["script", "flush"]);
        // At once, not only after a pause.
        assert!(claim(&shared.bus, JOB, host).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed() {
    let mut redis = SentinelRedis::start().await;
    let (shared, other) = (share(&redis.settings()), share(&redis.settings()));
    let mut there = other.notifier.subscribe();
    rings_through(&shared, &mut there, ChangeEvent::Sessions).await;
    shared.bus.open(JOB, Start::New).await.unwrap();
    assert!(shared.bus.answer(JOB, 7, b"{}".to_vec(), Vec::new()).await.unwrap());
    // What the replica does not have yet is lost with the master.
    redis.redis[1].until("1", &["xlen", "{muster:live:1}:lines"]).await;
    redis.redis[0].kill();
    redis.failed_over_to(1).await;
    works_again(&shared.bus, JOB).await;
    assert!(!claim(&shared.bus, JOB, 7).await, "the replica knew of the answer");
    assert_eq!(shared.bus.read(JOB, 0, 100).await.unwrap().lines.len(), 1);
    hears(&mut there, ChangeEvent::Missed).await;
    shared.notifier.publish(ChangeEvent::Hosts);
    hears(&mut there, ChangeEvent::Hosts).await;
}

/// The replica that is promoted has not heard of the newest events, and other events take their positions before anybody
/// looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_ahead_of_the_promoted_replica_begins_anew() {
    let mut redis = SentinelRedis::start().await;
    let shared = share(&redis.settings());
    let job = new_job(1);
    shared.bus.open(job, Start::New).await.unwrap();
    for host in 1..=5 {
        assert!(shared.bus.answer(job, host, b"{}".to_vec(), Vec::new()).await.unwrap());
    }
    redis.redis[1].until("5", &["xlen", "{muster:live:1}:lines"]).await;
    // Its master refuses it from now on.
    redis.redis[1].ask(&["config", "set", "masterauth", "wrong"]);
    redis.redis[0].ask(&["client", "kill", "type", "replica"]);
    redis.redis[1].until("master_link_status:down", &["info", "replication"]).await;
    for host in 6..=10 {
        assert!(shared.bus.answer(job, host, b"{}".to_vec(), Vec::new()).await.unwrap());
    }
    let seen = shared.bus.events(job, EventPosition::default()).await.unwrap().events;
    let (last, cursor) = (seen.last().unwrap().position, shared.bus.read(job, 0, 1000).await.unwrap().next);
    assert_eq!(last.number, 10);
    redis.redis[0].kill();
    redis.failed_over_to(1).await;
    for host in 20..30 {
        eventually("answers are taken again", async || {
            shared.bus.answer(job, host, b"{}".to_vec(), Vec::new()).await.ok()
        })
        .await;
    }

    let hosts = |events: &[JobEvent]| -> Vec<i64> {
        let host = |event: &JobEvent| match &event.change {
            JobChange::Settled { host, .. } => Some(*host),
            _ => None,
        };
        events.iter().filter_map(host).collect()
    };
    let piece = shared.bus.events(job, last).await.unwrap();
    assert!(piece.is_from_start, "another event stands at the last position");
    assert_eq!(hosts(&piece.events), (1..=5).chain(20..30).collect::<Vec<_>>());
    let last = piece.events.last().unwrap().position;
    for host in 6..=10 {
        assert!(shared.bus.answer(job, host, b"again".to_vec(), Vec::new()).await.unwrap(), "its answer is lost");
    }
    let piece = shared.bus.events(job, last).await.unwrap();
    assert_eq!((piece.is_from_start, hosts(&piece.events)), (false, (6..=10).collect()));
    let read = shared.bus.read(job, cursor, usize::MAX).await.unwrap();
    let again = read.lines.iter().filter(|line| line.text == b"again").count();
    assert_eq!(again, 5, "what comes then lies behind every cursor that was given out");
    let kept: usize =
        shared.bus.read(job, 0, usize::MAX).await.unwrap().lines.iter().map(|line| line.text.len() + 1).sum();
    assert_eq!(shared.bus.length(job), kept as u64);
}

/// Another client keeps Redis busy for longer than a command may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_command_is_no_outage() {
    let redis = Arc::new(RedisProcess::with(&["--enable-debug-command", "yes"]).await);
    let shared = share(&redis.settings());
    shared.bus.open(JOB, Start::New).await.unwrap();
    for host in 1..=2 {
        let slow = Arc::clone(&redis);
        let busy = tokio::task::spawn_blocking(move || slow.ask(&["debug", "sleep", "1.3"]));
        eventually("Redis is busy", async || shared.bus.claim(JOB, host, crate::clock::Moment(0), true).await.err())
            .await;
        assert_eq!(busy.await.unwrap().trim(), "OK");
        // At once, not only after a pause.
        assert!(claim(&shared.bus, JOB, 100 + host).await);
        assert!(shared.bus.answer(JOB, host, b"{}".to_vec(), Vec::new()).await.unwrap());
    }
}

/// All of them together take Redis longer than one command may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_answers_wait_for_their_turn_and_are_all_kept() {
    const ANSWER: usize = 8 << 20;
    let redis = RedisProcess::start().await;
    let mut settings = redis.settings();
    settings.push(("redis_read_timeout".to_owned(), "200ms".to_owned()));
    let shared = share(&settings);
    shared.bus.open(JOB, Start::New).await.unwrap();
    let line: Arc<Vec<u8>> = Arc::new(vec![b'x'; ANSWER]);
    let answers = (1..=16).map(|host| {
        let (bus, line) = (&shared.bus, Arc::clone(&line));
        async move { bus.answer(JOB, host, line.to_vec(), Vec::new()).await }
    });
    for kept in futures_util::future::join_all(answers).await {
        assert_eq!(kept, Ok(true));
    }
    assert!(claim(&shared.bus, JOB, 1000).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_may_restart() {
    const JOBS: std::ops::Range<i64> = 1..30;
    let mut redis = ClusterRedis::start().await;
    let shared = share(&redis.settings());
    for job in JOBS.map(|id| JobKey::new(id, None)) {
        assert_eq!(shared.bus.open(job, Start::New).await.unwrap(), Opened::Made);
    }
    redis.nodes[1].kill();
    // Jobs of the other nodes go on, those of this one have to wait.
    let (mut going_on, mut waiting) = (0, 0);
    for job in JOBS.map(|id| JobKey::new(id, None)) {
        match shared.bus.claim(job, 1, crate::clock::Moment(0), true).await {
            Ok(true) => going_on += 1,
            Err(BusError::Unavailable(_)) => waiting += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(going_on > 0 && waiting > 0, "{going_on} go on, {waiting} wait");
    redis.nodes[1].restart().await;
    redis.is_whole().await;
    let mut lost = 0;
    for job in JOBS.map(|id| JobKey::new(id, None)) {
        let claimed = eventually("the job is there again", async || {
            match shared.bus.claim(job, 2, crate::clock::Moment(0), true).await {
                Err(BusError::Unavailable(_)) => None,
                outcome => Some(outcome),
            }
        })
        .await;
        if claimed == Err(BusError::Lost(job.id)) {
            lost += 1;
            let opened = shared
                .bus
                .open(job, Start::Checkpoint { settled: (1..2).collect(), note: Vec::new(), covered: 0 })
                .await
                .unwrap();
            assert_eq!(opened, Opened::Made);
            assert!(claim(&shared.bus, job, 2).await);
        }
    }
    assert_eq!(lost, waiting, "what the node had was in memory only");
}
