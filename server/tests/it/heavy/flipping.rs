use std::sync::LazyLock;

use super::load::{errors, options, run};
use crate::chaos::Cluster;
use crate::support::{PASSWORD, count};

/// Hosts at each of the two servers.
static HALF: LazyLock<u64> = LazyLock::new(|| count(250, 2_500));

/// Labels of the standard profile that hosts answer for.
const LABELS: f64 = 6.0;

/// Half of all label answers are the other way round each time, at both servers at once. A transaction that loses a race
/// is tried again, and nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_that_flip_on_many_hosts_are_all_written() {
    let interval = count(6, 20);
    let update_interval = format!("osquery_label_update_interval={interval}s");
    let cluster = Cluster::start(&["server_trusted_proxies=127.0.0.1", &update_interval]).await;
    tokio::task::block_in_place(|| {
        let (admin, user) = (cluster.mariadb.admin(), cluster.mariadb.address().username);
        admin.execute("SET GLOBAL innodb_monitor_enable = 'lock_deadlocks'").unwrap();
        admin.execute(&format!("GRANT PROCESS ON *.* TO {user}@'%'")).unwrap();
    });
    let (half_of_all, ramp, duration) = (*HALF, count(3, 60), count(14, 40));
    let half = |server: u64| {
        options(&format!(
            "--server {} --insecure --setup --email admin@example.com --password {PASSWORD} --first-agent {} --agents {half_of_all} \
             --ramp {ramp}s --duration {duration}s --connections 32 --distributed-interval {interval}s --log-interval 0 --label-flips 0.5",
            cluster.address(server as usize).url,
            server * half_of_all,
        ))
    };
    let halves = (half(0), half(1));
    let reports = tokio::join!(run(&halves.0), run(&halves.1));
    for report in [&reports.0, &reports.1] {
        assert_eq!(report.failed, Vec::<String>::new());
        assert_eq!(errors(report), Vec::<String>::new());
        assert_eq!(report.agents, [half_of_all; 3]);
    }
    let deadlocks = cluster
        .number("SELECT CAST(`count` AS SIGNED) FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'");
    let retries = cluster.metric("muster_db_retries_total").await;
    let changes = cluster.metric("muster_label_changes_total").await;
    let hosts = cluster.number("SELECT count(*) FROM hosts");
    eprintln!(
        "{hosts} hosts: {changes} memberships changed, {deadlocks} deadlocks, {retries} transactions tried again"
    );
    assert_eq!(hosts, 2 * half_of_all as i64);
    assert!(changes > 2.0 * half_of_all as f64 * LABELS / 2.0, "{changes} changes: too few to meet each other");
    assert!(retries >= deadlocks as f64, "{deadlocks} deadlocks, but only {retries} tried again");
}
