use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::fleet::hosts::NodeKey;
use crate::store::feed::{self, HostChangeKind};
use crate::store::node_keys;
use crate::tests::world::World;

/// A look-up whose reading is over.
struct LookedUp {
    hash: KeyHash,
    read: Option<ReadKey>,
    mark: ChangeMark,
}

async fn look_up(hosts: &Hosts, key: &str) -> LookedUp {
    let (hash, mark) = (NodeKey::hash(key), hosts.index.change_mark());
    LookedUp { hash, read: hosts.look_ups.read(hash).await.unwrap(), mark }
}

async fn take_in(hosts: &Hosts, looked_up: LookedUp) -> Option<i64> {
    let LookedUp { hash, read, mark } = looked_up;
    match hosts.take_in_met(hash, read, mark, hosts.clock.now()).await.unwrap() {
        Authenticated::Host(host) => Some(host.id),
        Authenticated::Unknown => None,
    }
}

fn labels_of(hosts: &Hosts, id: i64) -> Vec<i64> {
    hosts.index.get(id).unwrap().assignment.load().assignment.label_ids.to_vec()
}

fn manual_label(members: &[&str]) -> serde_json::Value {
    json!([{ "kind": "label", "spec": { "name": "chosen", "label_membership_type": "manual", "hosts": members } }])
}

#[actix_web::test]
async fn keys_that_are_shown_together_are_read_together() {
    const COUNT: usize = 100;
    let world = World::new().await;
    let names: Vec<String> = (0..COUNT).map(|host| format!("host-{host}")).collect();
    let keys = join_all(names.iter().map(|name| world.enroll(name, "ubuntu"))).await;
    let ids = join_all(keys.iter().map(|key| world.host_of(key))).await;
    assert!(ids.iter().all(Option::is_some));

    let node = world.beside().await;
    let (statements, lookups) = (&node.app.metrics.sql_statements, &node.app.metrics.key_lookups);
    let before = (statements.get(), lookups.get());
    let shown = keys.iter().map(String::as_str).chain(["no-such-key", keys[0].as_str()]);
    let found = join_all(shown.map(|key| node.host_of(key))).await;
    assert_eq!(found[..COUNT], ids);
    assert_eq!(found[COUNT..], [None, ids[0]]);
    assert_eq!(lookups.get() - before.1, COUNT as u64 + 2);
    // Keys, hosts and labels; on MariaDB the unknown key is confirmed.
    assert!(statements.get() - before.0 <= 4, "{} statements", statements.get() - before.0);

    node.app.fleet.hosts.refresh_stale().await.unwrap();
    join_all(keys.iter().map(|key| node.host_of(key))).await;
    assert!(statements.get() - before.0 <= 4, "nothing has changed, so no host is read again");
}

#[actix_web::test]
async fn a_host_that_is_deleted_meanwhile_is_unknown() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    let node = world.beside().await;
    let hosts = &node.app.fleet.hosts;
    let looked_up = look_up(hosts, &key).await;
    world.delete("hosts/1").await.expect(200);
    node.app.fleet.follow().await.unwrap();
    assert_eq!(take_in(hosts, looked_up).await, None);
    assert!(hosts.index.get(1).is_none());
    assert_eq!(node.host_of(&key).await, None);
}

#[actix_web::test]
async fn a_key_that_is_retired_meanwhile_is_not_kept() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    let node = world.beside().await;
    let hosts = &node.app.fleet.hosts;
    let looked_up = look_up(hosts, &key).await;
    let retire = async |tx: &store::Tx| {
        node_keys::delete(tx, vec![NodeKey::hash(&key).to_vec()]).await?;
        feed::append(tx, HostChangeKind::Keys, [1], hosts.clock.now()).await
    };
    world.app.store.write(retire).await.unwrap();
    node.app.fleet.follow().await.unwrap();
    take_in(hosts, looked_up).await;
    assert_eq!(node.host_of(&key).await, None);
}

#[actix_web::test]
async fn a_key_that_is_moved_meanwhile_goes_with_its_new_host() {
    let world = World::new().await;
    let (key, other) = (world.enroll("h", "ubuntu").await, world.enroll("other", "ubuntu").await);
    let node = world.beside().await;
    let hosts = &node.app.fleet.hosts;
    let looked_up = look_up(hosts, &key).await;
    assert!(looked_up.read.as_ref().is_some_and(|read| read.is_only));
    let instance = looked_up.read.as_ref().unwrap().found.0.instance_id.clone();
    let separate = async |tx: &store::Tx| {
        store::hosts::move_keys(tx, 1, &instance, 2).await?;
        feed::append(tx, HostChangeKind::Keys, [1, 2], hosts.clock.now()).await
    };
    world.app.store.write(separate).await.unwrap();
    node.app.fleet.follow().await.unwrap();
    take_in(hosts, looked_up).await;
    assert_eq!(node.host_of(&key).await, Some(2));
    assert!(look_up(hosts, &other).await.read.is_some_and(|read| !read.is_only));
}

#[actix_web::test]
async fn labels_that_change_meanwhile_are_read_again() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    let node = world.beside().await;
    let hosts = &node.app.fleet.hosts;
    let looked_up = look_up(hosts, &key).await;
    world.apply(manual_label(&["h"])).await;
    node.app.fleet.follow().await.unwrap();
    assert_eq!(take_in(hosts, looked_up).await, Some(1));
    let before = labels_of(hosts, 1);
    node.app.fleet.follow().await.unwrap();
    assert_eq!(labels_of(hosts, 1).len(), before.len() + 1);
}

#[actix_web::test]
async fn a_label_that_is_deleted_meanwhile_is_no_label_of_the_host() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    world.apply(manual_label(&["h"])).await;
    let node = world.beside().await;
    let hosts = &node.app.fleet.hosts;
    let looked_up = look_up(hosts, &key).await;
    world.delete("labels/chosen").await.expect(200);
    node.app.fleet.follow().await.unwrap();
    assert_eq!(take_in(hosts, looked_up).await, Some(1));
    let before = labels_of(hosts, 1);
    node.app.fleet.follow().await.unwrap();
    assert_eq!(labels_of(hosts, 1).len(), before.len() - 1);
}
