//! A node among rows and messages that others have left.

use std::sync::atomic::Ordering;

use sea_orm::{ConnectionTrait as _, Set};

use super::super::message::SeenMessage;
use super::super::{SeenSharing, stored, times};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Hosts;
use crate::lock::lock;
use crate::store::entity::seen_pages::Model;
use crate::store::hosts::{LastSeen, insert_many, mark_seen};
use crate::store::{entity, seen_pages};
use crate::tests::world::World;

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

impl World {
    fn hosts(&self) -> &Hosts {
        &self.app.fleet.hosts
    }

    fn now(&self) -> Moment {
        self.app.fleet.clock.now()
    }

    fn seen(&self, host: i64) -> Moment {
        self.hosts().seen_by_any(host, Moment::NEVER)
    }

    /// As the task does it, some time after nodes were last read.
    async fn keep_seen(&self, everything: bool) -> Result<()> {
        self.hosts().seen_sharing.looked_at.store(0, Ordering::Relaxed);
        self.hosts().keep_seen(everything).await
    }

    async fn execute(&self, sql: &str) {
        self.app.store.write(async |tx| Ok(tx.execute_unprepared(sql).await.map(drop)?)).await.unwrap();
    }

    /// A node of the version before.
    async fn add_older_node(&self) {
        let now = self.now().0;
        self.execute(&format!("INSERT INTO replicas (id, written_at) VALUES ('older', {now})")).await;
    }

    async fn mark_row_seen(&self, host_id: i64) {
        let at = self.now();
        self.app.store.write(async |tx| mark_seen(tx, vec![LastSeen { host_id, at }]).await).await.unwrap();
    }

    async fn add_page(&self, page: i64, seconds: Vec<u8>) {
        let page = Model { page, seconds, revision: 1, updated_at: Moment::NEVER };
        self.app.store.write(async |tx| seen_pages::add(tx, vec![page.clone()]).await).await.unwrap();
    }

    async fn page(&self, number: i64) -> Vec<u8> {
        let mut pages = seen_pages::read(self.app.store.reader(), &[number]).await.unwrap();
        pages.pop().unwrap().seconds
    }

    fn counts(&self, metric: &str) -> bool {
        self.app.metrics.render().unwrap().lines().any(|line| line.starts_with(metric))
    }
}

#[tokio::test]
async fn what_a_node_of_the_version_before_writes_to_rows_is_read_until_it_has_gone() {
    let world = World::new().await;
    let host = |name: &str| entity::hosts::ActiveModel {
        identifier: Set(name.to_owned()),
        claimed_identifier: Set(name.to_owned()),
        ..Default::default()
    };
    world.app.store.write(async |tx| insert_many(tx, vec![host("one"), host("two")]).await).await.unwrap();
    world.add_older_node().await;
    world.mark_row_seen(1).await;
    world.keep_seen(false).await.unwrap();
    assert_eq!([1, 2].map(|host| world.seen(host)), [world.now(), Moment::NEVER]);

    // A check-in appears in the row some time after it.
    let check_in = world.now();
    world.app.fleet.clock.advance(SECOND * 20);
    world.keep_seen(false).await.unwrap();
    world.app.store.write(async |tx| mark_seen(tx, vec![LastSeen { host_id: 2, at: check_in }]).await).await.unwrap();
    world.app.fleet.clock.advance(SECOND * 20);
    world.keep_seen(false).await.unwrap();
    assert_eq!(world.seen(2), check_in);

    // The last words of the node.
    world.app.fleet.clock.advance(SECOND);
    world.mark_row_seen(1).await;
    world.execute("DELETE FROM replicas WHERE id = 'older'").await;
    world.keep_seen(false).await.unwrap();
    let last = world.now();
    assert_eq!(world.seen(1), last);

    world.app.fleet.clock.advance(SECOND * 60);
    world.mark_row_seen(1).await;
    world.keep_seen(false).await.unwrap();
    assert_eq!(world.seen(1), last, "nobody else writes to rows");
}

#[tokio::test]
async fn until_nodes_were_read_there_may_be_one_of_the_version_before() {
    let world = World::new().await;
    assert!(!world.hosts().has_older_node());
    // As before the first reading.
    *lock(&world.hosts().seen_sharing.older) = SeenSharing::new("own", world.now()).older.into_inner().unwrap();
    assert!(world.hosts().has_older_node());
    world.execute("ALTER TABLE replicas RENAME TO elsewhere").await;
    world.keep_seen(false).await.unwrap_err();
    world.app.fleet.follow().await.unwrap_err();
    assert!(world.hosts().has_older_node());
    world.execute("ALTER TABLE elsewhere RENAME TO replicas").await;
    world.app.fleet.follow().await.unwrap();
    assert!(!world.hosts().has_older_node());
}

#[tokio::test]
async fn leases_wait_while_a_node_lives_that_may_not_know_them() {
    let world = World::new().await;
    let (now, long_ago) = (world.now().0, world.now().minus(SECOND * 76).0);
    let look = async || {
        world.keep_seen(false).await.unwrap();
        world.hosts().all_know_leases()
    };
    let unread = SeenSharing::new("own", world.now());
    assert!(!unread.all_know_leases.into_inner(), "until nodes were read");
    assert!(look().await);
    for (alive_at, knows_leases, expected) in [
        (now.to_string(), "NULL", false),
        (now.to_string(), "TRUE", true),
        (long_ago.to_string(), "NULL", true),
        ("NULL".to_owned(), "NULL", false),
    ] {
        let row = format!("'other', {now}, {alive_at}, {knows_leases}");
        world.execute("DELETE FROM replicas WHERE id = 'other'").await;
        world.execute(&format!("INSERT INTO replicas (id, written_at, alive_at, knows_leases) VALUES ({row})")).await;
        assert_eq!(look().await, expected, "{row}");
    }
}

#[tokio::test]
async fn an_older_reading_of_nodes_replaces_no_newer_one() {
    let world = World::new().await;
    let now = world.now();
    let older = entity::nodes::Model {
        id: "older".to_owned(),
        written_at: now,
        alive_at: None,
        knows_leases: None,
        version: None,
    };
    world.hosts().take_nodes(vec![older], now);
    world.hosts().take_nodes(Vec::new(), now.minus(SECOND));
    assert!(world.hosts().has_older_node());
    world.hosts().take_nodes(Vec::new(), now);
    assert!(!world.hosts().has_older_node());
}

#[tokio::test]
async fn times_are_stored_though_nodes_cannot_be_read() {
    let world = World::new().await;
    world.hosts().index.seen.page_of(7).mark(7, world.now());
    world.execute("ALTER TABLE replicas RENAME TO elsewhere").await;
    world.keep_seen(true).await.unwrap_err();
    assert_eq!(stored::decode(&world.page(0).await).unwrap()[7], times::seconds(world.now()));
}

#[tokio::test]
async fn a_broken_page_is_stored_anew_and_one_of_another_format_is_left_alone() {
    let world = World::new().await;
    let now = times::seconds(world.now());
    let of_newer_version = vec![9, 9, 9];
    world.add_page(0, vec![1, 2]).await;
    world.add_page(1, of_newer_version.clone()).await;
    world.add_page(2, vec![]).await;
    world.hosts().load_seen().await.unwrap();
    world.hosts().index.seen.page_of(7).mark(7, world.now());
    world.hosts().index.seen.page_of(40_000).mark(40_000, world.now());
    world.keep_seen(true).await.unwrap();
    assert_eq!(stored::decode(&world.page(0).await).unwrap()[7], now);
    assert_eq!(world.page(1).await, of_newer_version);
    assert!(stored::decode(&world.page(2).await).unwrap().iter().all(|time| *time == 0));
    for outcome in ["broken\"} 2", "unreadable\"} 2"] {
        assert!(world.counts(&format!("muster_seen_pages_total{{outcome=\"{outcome}")), "{outcome}");
    }
}

#[tokio::test]
async fn stored_times_far_ahead_of_the_clock_are_replaced() {
    let world = World::new().await;
    let now = times::seconds(world.now());
    world.add_page(0, stored::encode(&[now - 10, now + 1_000, now + 1_000])).await;
    world.hosts().load_seen().await.unwrap();
    world.hosts().index.seen.page_of(1).mark(1, world.now());
    world.keep_seen(true).await.unwrap();
    assert_eq!(stored::decode(&world.page(0).await).unwrap()[..3], [now - 10, now, 0]);
}

#[tokio::test]
async fn a_message_from_a_clock_that_is_ahead_is_of_now() {
    let world = World::new().await;
    let since = times::seconds(world.now().plus(SECOND * 3_600));
    let (node, host_ids) = ("ahead".to_owned(), [7].into_iter().collect());
    let message = SeenMessage { node, sequence: 0, asks_for_pages: false, since, host_ids };
    world.hosts().take_over_seen(&message.encode());
    assert_eq!(world.seen(7), world.now());
}

#[tokio::test]
async fn a_node_without_redis_sends_nothing_and_uses_pages_at_once() {
    let world = World::new().await;
    let (now, soon) = (world.now().0, world.now());
    world.execute(&format!("INSERT INTO replicas (id, written_at, alive_at) VALUES ('killed', {now}, {now})")).await;
    world.hosts().index.seen.page_of(7).mark(7, soon);
    world.hosts().share_seen().await;
    world.keep_seen(false).await.unwrap();
    world.hosts().share_seen().await;
    assert_eq!(stored::decode(&world.page(0).await).unwrap()[7], times::seconds(soon));
    assert!(!world.counts("muster_seen_messages_total"));
}
