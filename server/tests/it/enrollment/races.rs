//! Enrollments beside other changes of the same host, on a database where transactions run side by side.

use std::time::Duration;

use super::identity;
use crate::support::{TestServer, eventually, mariadb, on_mariadb};

#[tokio::test]
async fn an_enrollment_waits_for_the_separation_of_its_host() {
    let server = TestServer::on_mariadb().await;
    let of = |instance: &str| {
        let mut identity = identity(1);
        instance.clone_into(&mut identity.instance_id);
        server.address.agent_of(identity)
    };
    let (mut one, mut two) = (of("instance-one"), of("instance-two"));
    assert!(one.enroll().await.verdict.is_success());
    let separation = server.database();
    separation.execute("BEGIN");
    separation.execute("UPDATE hosts SET instance_id = 'instance-one', cloned_at = 1");
    let statements = async || server.metric("muster_sql_statements_total").await;
    let before = statements().await;
    let commit_when_it_waits = async {
        // It is tried again and again.
        eventually("the enrollment waits", Duration::from_secs(10), async || {
            (statements().await > before + 30.0).then_some(())
        })
        .await;
        separation.execute("COMMIT");
    };
    let (enrolled, ()) = tokio::join!(two.enroll(), commit_when_it_waits);
    assert!(enrolled.verdict.is_success(), "{enrolled:?}");
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 2, "the newcomer has a row of its own");
    let kept = server.database().text("SELECT instance_id FROM hosts WHERE id = 1");
    assert_eq!(kept, "instance-one", "the shared row stays with the machine that kept it");
}

#[tokio::test]
async fn enrollments_at_one_time_in_other_capitals_make_one_host() {
    let server = TestServer::on_mariadb().await;
    for index in 0..10 {
        let mut agents: Vec<_> = (0..4)
            .map(|nth| {
                let mut identity = identity(index);
                let name = &identity.host_identifier;
                identity.host_identifier = if nth % 2 == 0 { name.to_uppercase() } else { name.to_lowercase() };
                server.address.agent_of(identity)
            })
            .collect();
        let answers = futures_util::future::join_all(agents.iter_mut().map(|agent| agent.enroll())).await;
        assert!(answers.iter().all(|exchange| exchange.verdict.is_success()), "{answers:?}");
        assert_eq!(server.number("SELECT count(*) FROM hosts"), i64::from(index) + 1);
    }
}

#[tokio::test]
async fn an_enrollment_reads_as_many_rows_however_many_machines_share_the_identity() {
    const MACHINES: usize = 40;
    let own = mariadb::Mariadb::start(&[]);
    let server = TestServer::with(|config| on_mariadb(config, &own.address())).await;
    let database = server.database();
    let rows_read = || {
        database.number(
            "SELECT CAST(sum(variable_value) AS SIGNED) FROM information_schema.global_status \
             WHERE variable_name IN ('Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd_next')",
        )
    };
    let mut costs = Vec::new();
    for index in 0..MACHINES {
        let mut identity = identity(1);
        identity.instance_id = format!("instance-{index:05}");
        let mut agent = server.address.agent_of(identity);
        let before = rows_read();
        assert!(agent.enroll().await.verdict.is_success());
        costs.push(rows_read() - before);
    }
    // Other tasks of the server read, too, now and then.
    let least = |costs: &[i64]| *costs.iter().min().unwrap();
    let (first, last) = (least(&costs[1..MACHINES / 4]), least(&costs[MACHINES - MACHINES / 4..]));
    assert!(last < first + MACHINES as i64 / 4, "an enrollment reads {last} rows in the end, {first} in the beginning");
}
