//! The database is away altogether.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{App as HttpApp, test};
use muster_api::osquery::answer::NO_WORK;
use serde_json::{Value, json};

use super::world::World;
use crate::fleet::Error;
use crate::fleet::hosts::Authenticated;
use crate::ops;

async fn ask(world: &World, path: &str) -> (u16, Value) {
    let service =
        test::init_service(HttpApp::new().app_data(Data::new(world.app.ops.clone())).configure(ops::routes)).await;
    let response = test::call_service(&service, test::TestRequest::get().uri(path).to_request()).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&test::read_body(response).await).unwrap_or_default())
}

/// A server that lives is not killed for it, and what needs to know is told.
#[actix_web::test]
async fn it_is_alive_and_not_ready() {
    let world = World::new().await;
    assert_eq!(ask(&world, "/readyz").await.0, 200);
    world.app.store.close().await;
    assert_eq!(ask(&world, "/healthz").await, (200, Value::Null));
    // The outcome of the check before is told again for a second.
    let noticed = async {
        while ask(&world, "/healthz?check=mysql").await.0 != 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.unwrap();
    let (status, body) = ask(&world, "/readyz").await;
    assert_eq!((status, &body["status"]), (503, &json!("unavailable")));
    assert_ne!(body["checks"]["database"], "ok");
}

#[actix_web::test]
async fn known_hosts_keep_their_config_and_nobody_is_called_unknown() {
    let world = World::new().await;
    world
        .apply(json!([{ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": "a-secret-of-the-tests" }] } }]))
        .await;
    let key = world.enroll("host-1", "ubuntu").await;
    let hosts = &world.app.fleet.hosts;
    let Authenticated::Host(host) = hosts.authenticate(&key).await.unwrap() else { panic!("the key is good") };
    let config = world.app.fleet.schedule.config_for(&host, None).unwrap();
    world.app.store.close().await;

    let Authenticated::Host(host) = hosts.authenticate(&key).await.unwrap() else { panic!("the key is known") };
    assert_eq!(world.app.fleet.schedule.config_for(&host, None).unwrap(), config);
    assert_eq!(world.app.fleet.checkin.read(&host).await, NO_WORK);
    // A key that is not in memory may be good.
    assert!(matches!(hosts.authenticate("some-other-key").await, Err(Error::Unavailable(_))));
    // What follows the database fails and changes nothing.
    assert!(world.app.fleet.follow().await.is_err());
    assert!(hosts.retire_keys().await.is_err());
    assert!(matches!(hosts.authenticate(&key).await, Ok(Authenticated::Host(_))));
}
