//! Cost of hearing that other servers have changed nothing.

use std::time::Duration;

use actix_web::http::Method;
use serde_json::json;

use super::world::World;
use crate::clock::Moment;
use crate::store::pulse::PulseRange;
use crate::store::{feed, generations, live_queries, nodes, pulse};

#[actix_web::test]
async fn a_server_asks_with_one_statement_whether_anything_has_changed() {
    let world = World::new().await;
    let other = world.beside().await;
    let key = world.enroll("h", "ubuntu").await;
    let label = json!({ "name": "l", "query": "SELECT 1" });
    assert_eq!(world.as_user(&world.token, Method::POST, "labels", Some(label)).await.status, 200);
    let before = other.app.fleet.schedule.plan().generation;
    for server in [&world, &other] {
        server.app.fleet.follow().await.unwrap();
        let statements = &server.app.metrics.sql_statements;
        let sent = statements.get();
        server.app.fleet.follow().await.unwrap();
        assert_eq!(statements.get() - sent, 1);
    }
    assert!(other.app.fleet.schedule.plan().generation > before);
    // A change that comes now is heard of as well.
    let host = world.app.fleet.hosts.authenticate(&key).await.unwrap();
    assert!(matches!(host, crate::fleet::hosts::Authenticated::Host(_)));
    assert_eq!(world.as_user(&world.token, Method::DELETE, "hosts/1", None).await.status, 200);
    other.app.fleet.follow().await.unwrap();
    assert_eq!(other.get("hosts/1").await.status, 404);
}

#[actix_web::test]
async fn a_server_that_follows_sends_nothing_to_learn_that_another_leads() {
    let world = World::new().await;
    let other = world.beside().await;
    let (leader, node) = (&world.app.fleet.node, &other.app.fleet.node);
    let statements = &other.app.metrics.sql_statements;
    let advance = |seconds| {
        for server in [&world, &other] {
            server.app.fleet.clock.advance(Duration::from_secs(seconds));
        }
    };
    leader.renew_lease(false).await.unwrap();
    assert!(leader.is_leader());
    for _ in 0..5 {
        advance(9);
        leader.renew_lease(false).await.unwrap();
        other.app.fleet.follow().await.unwrap();
        let sent = statements.get();
        node.renew_lease(false).await.unwrap();
        assert_eq!((statements.get() - sent, node.is_leader(), leader.is_leader()), (0, false, true));
    }
    // The leader falls silent. It stops leading before the other begins.
    advance(34);
    other.app.fleet.follow().await.unwrap();
    node.renew_lease(false).await.unwrap();
    assert!(!node.is_leader() && !leader.is_leader());
    advance(2);
    node.renew_lease(false).await.unwrap();
    assert!(node.is_leader());
    // What was read long ago says nothing.
    leader.renew_lease(false).await.unwrap();
    world.app.fleet.follow().await.unwrap();
    advance(10);
    let sent = world.app.metrics.sql_statements.get();
    leader.renew_lease(false).await.unwrap();
    assert!(world.app.metrics.sql_statements.get() > sent && !leader.is_leader());
}

#[actix_web::test]
async fn live_queries_are_looked_for_while_hosts_take_long_to_follow() {
    let world = World::new().await;
    let (fleet, statements) = (&world.app.fleet, &world.app.metrics.sql_statements);
    fleet.follow().await.unwrap();
    let sent = statements.get();
    fleet.live.keep_up().await.unwrap();
    assert_eq!(statements.get() - sent, 0, "they were looked for with the hosts");
    fleet.clock.advance(Duration::from_secs(4));
    fleet.live.keep_up().await.unwrap();
    assert_eq!(statements.get() - sent, 1);
}

#[actix_web::test]
async fn one_statement_tells_as_much_as_three() {
    let world = World::new().await;
    let db = world.app.store.reader();
    world.app.fleet.hosts.keep_seen(false).await.unwrap();
    let range = |after, limit| PulseRange { after, limit, heard_since: Moment(1) };
    let empty = pulse::read(db, range(0, 100)).await.unwrap();
    assert_eq!((empty.changes.changes.len(), empty.open_live_queries.len(), empty.leader), (0, 0, None));
    world.app.fleet.node.renew_lease(false).await.unwrap();
    for name in ["a", "b", "c"] {
        world.enroll(name, "ubuntu").await;
    }
    for rate in [0, 7] {
        let started = json!({ "query": "SELECT 1", "rate": rate, "targets": { "all": true } });
        assert_eq!(world.as_user(&world.token, Method::POST, "live_queries", Some(started)).await.status, 200);
    }
    let store = &world.app.store;
    store.write(async |tx| live_queries::set_pace(tx, 2, live_queries::PaceStep::Pause).await).await.unwrap();
    let read = pulse::read(db, range(1, 1)).await.unwrap();
    assert_eq!(read.generation, generations::current(db, generations::SCHEDULE).await.unwrap());
    let mut known = nodes::since(db, Moment::NEVER).await.unwrap();
    known.retain(|node| node.alive_at.is_some());
    assert_eq!((&read.nodes, known.len()), (&known, 1));
    let leader = read.leader.unwrap();
    assert_eq!((&*leader.name, &*leader.holder), ("leader", world.app.fleet.node.id()));
    assert!(leader.expires_at > world.app.fleet.clock.now());
    assert_eq!((read.changes.after, read.changes.changes), (1, feed::after(db, 1, 1).await.unwrap()));
    let mut rows = read.open_live_queries;
    rows.sort_by_key(|row| row.id);
    assert_eq!(format!("{rows:?}"), format!("{:?}", live_queries::open_rows(db).await.unwrap()));
    let paces: Vec<_> = rows.iter().map(|row| (row.rate, row.is_paused)).collect();
    assert_eq!(paces, [(0, false), (7, true)]);
}
