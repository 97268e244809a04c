//! What every Redis keeps to, and what is needed to use one.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;

use super::batches::{batches, leases};
use super::{JOB, SOON, bus, hears, rings_through, share, share_counted};
use crate::bus::contract_tests::{self, new_job, soon};
use crate::bus::redis::RedisBus;
use crate::bus::{BusError, ChangeEvent, Claim, EventPosition, JobKey, LiveBus as _, Notifier as _, Opened, Start};
use crate::redis_processes::{ClusterRedis, RedisProcess, SentinelRedis, Settings, TlsRedis, outside};

/// Everything, on one kind of Redis.
async fn whole_contract(settings: &Settings) {
    contract_tests::run(bus(settings), async || bus(settings)).await;
    let (one, two) = (Arc::new(bus(settings)), Arc::new(bus(settings)));
    // Many jobs, so that those of a cluster lie on all of its nodes.
    for job in 100..110 {
        contract_tests::events(&*one, &*two, new_job(job)).await;
        contract_tests::races(vec![Arc::clone(&one), Arc::clone(&two)], new_job(job + 50)).await;
        contract_tests::paces(Arc::clone(&one), Arc::clone(&two), new_job(job + 100)).await;
    }
    watching(&one, &two, new_job(120)).await;
    notifications(settings).await;
    batches(settings).await;
    leases(settings).await;
}

/// Steps that come at one time share scripts.
#[tokio::test]
async fn claims_and_answers_of_many_hosts_cost_a_few_scripts() {
    const HOSTS: i64 = 500;
    let redis = RedisProcess::start().await;
    let (shared, commands) = share_counted(&redis.settings());
    let bus = &shared.bus;
    let job = new_job(1);
    bus.open(job, Start::New).await.unwrap();
    let claims = (1..=HOSTS).map(|host| bus.claim(job, host * 1000, crate::clock::Moment(0), false, false));
    assert!(join_all(claims).await.into_iter().all(|claim| claim == Ok(Claim::Won)));
    let line = |host: i64| format!("{{\"host_id\":{host}}}").into_bytes().into();
    let answers = (1..=HOSTS).map(|host| bus.answer(job, host * 1000, line(host * 1000), b"note".to_vec(), soon()));
    assert!(join_all(answers).await.into_iter().all(|taken| taken == Ok(true)));
    for step in ["claim", "answer"] {
        let scripts = commands.with_label_values(&[step]).get();
        assert!(scripts <= 10, "{scripts} scripts for {HOSTS} hosts");
    }
    let events = bus.events(job, EventPosition::default()).await.unwrap().events;
    assert_eq!(events.len(), 1000, "each host has its own events");
    assert_eq!(bus.read(job, 0, usize::MAX).await.unwrap().lines.len(), 500);
}

/// Who watches here hears of what is appended there.
async fn watching(one: &RedisBus, two: &RedisBus, job: JobKey) {
    assert_eq!(one.open(job, Start::New).await.unwrap(), Opened::Made);
    assert_eq!(two.open(job, Start::New).await.unwrap(), Opened::Found);
    let mut end = one.watch(job).unwrap();
    assert_eq!(*end.borrow_and_update(), 0);
    assert!(two.answer(job, 7, b"{}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    tokio::time::timeout(SOON, end.changed()).await.unwrap().unwrap();
    assert_eq!(one.length(job), two.length(job));
    assert_eq!(one.length(job), 3);
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
        assert!(refused.to_string().to_lowercase().contains("certificate"), "{key}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_behind_a_sentinel_keeps_the_contract() {
    let redis = SentinelRedis::start().await;
    whole_contract(&redis.settings()).await;
}

/// All tests of a process have to use the same certificates with clusters, so there is one test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_tls_keeps_the_contract_and_only_one_is_known_to_a_process() {
    let redis = ClusterRedis::start_with_tls().await;
    whole_contract(&redis.settings()).await;
    // This one is told of the other two by the first, and has to be met with TLS, too.
    let mut settings = redis.settings();
    settings[0].1 = redis.nodes[0].address();
    let one = bus(&settings);
    for id in 200..210 {
        assert_eq!(one.open(new_job(id), Start::New).await.unwrap(), Opened::Made);
    }
    let ca = settings.iter_mut().find(|(key, _)| key == "redis_tls_ca").unwrap();
    let copy = format!("{}.copy", ca.1);
    std::fs::copy(&ca.1, &copy).unwrap();
    ca.1 = copy;
    let error = bus(&settings).open(new_job(300), Start::New).await.unwrap_err().to_string();
    assert!(error.contains("one policy for clusters") && error.contains("ca.pem.copy"), "{error}");
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

#[tokio::test]
async fn a_password_of_sentinels_is_read_from_its_file() {
    let redis = SentinelRedis::start().await;
    redis.guard("hunter2");
    let mut settings = redis.settings();
    let error = bus(&settings).open(JOB, Start::New).await.unwrap_err().to_string();
    assert!(error.contains("NOAUTH") || error.contains("uthentica"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    settings.push(("redis_sentinel_password_path".to_owned(), file.path().display().to_string()));
    assert_eq!(bus(&settings).open(JOB, Start::New).await.unwrap(), Opened::Made);
}
