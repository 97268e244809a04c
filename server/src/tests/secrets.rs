//! Quotas of enroll secrets are exact, however many hosts enroll at however many servers at one time.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::world::World;
use crate::fleet::Error;
use crate::store::secrets;

const QUOTA: usize = 7;
const HOSTS: usize = 40;

fn secret_document(terms: Value) -> Value {
    let mut secret = json!({ "secret": "for-the-lab-only", "name": "lab" });
    secret.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    json!([{ "kind": "enroll_secret", "spec": { "secrets": [secret, { "secret": "for-anybody" }] } }])
}

async fn enrolled(world: &World) -> i64 {
    let all = secrets::all(world.app.store.reader()).await.unwrap();
    all.into_iter().find(|secret| secret.name == "lab").unwrap().hosts_enrolled
}

/// Hosts that enroll with the secret at one time, each at one of the servers, and how many of them were let in.
async fn rush(servers: &[&World], names: impl Iterator<Item = usize>) -> (Vec<usize>, usize) {
    let names: Vec<usize> = names.collect();
    let outcomes = join_all(names.iter().map(|name| async move {
        let server = servers[name % servers.len()];
        server.enroll_with("for-the-lab-only", &format!("host-{name}"), "ubuntu").await
    }))
    .await;
    let mut admitted = Vec::new();
    let mut refused = 0;
    for (name, outcome) in names.into_iter().zip(outcomes) {
        match outcome {
            Ok(_) => admitted.push(name),
            Err(Error::NotAdmitted(reason)) => {
                assert!(reason.contains("\"lab\"") && reason.contains("used up"), "{reason}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    (admitted, refused)
}

#[actix_web::test]
async fn a_quota_is_exact_across_servers() {
    let world = World::new().await;
    world.apply(secret_document(json!({ "quota": QUOTA }))).await;
    let other = world.beside().await;
    let (admitted, refused) = rush(&[&world, &other], 0..HOSTS).await;
    assert_eq!((admitted.len(), refused), (QUOTA, HOSTS - QUOTA));
    assert_eq!(enrolled(&world).await, QUOTA as i64);

    // Hosts that have enrolled with it do so again, at another server too, and count no second time.
    let again = rush(&[&other, &world], admitted.iter().copied()).await;
    assert_eq!(again, (admitted, 0));
    assert_eq!(enrolled(&world).await, QUOTA as i64);

    // A host of another secret would be one more.
    world.enroll_with("for-anybody", "elsewhere", "ubuntu").await.unwrap();
    assert!(matches!(world.enroll_with("for-the-lab-only", "elsewhere", "ubuntu").await, Err(Error::NotAdmitted(_))));

    // A larger quota holds at once, for servers that have not heard of it as well.
    world.apply(secret_document(json!({ "quota": QUOTA + 2 }))).await;
    let (admitted, refused) = rush(&[&other], HOSTS..HOSTS + 5).await;
    assert_eq!((admitted.len(), refused), (2, 3));
}

#[actix_web::test]
async fn hosts_that_have_enrolled_before_there_is_a_quota_count() {
    let world = World::new().await;
    world.apply(secret_document(json!({}))).await;
    assert_eq!(rush(&[&world], 0..3).await, (vec![0, 1, 2], 0));
    assert_eq!(enrolled(&world).await, 0, "nobody counts without a quota");
    world.apply(secret_document(json!({ "quota": 5 }))).await;
    assert_eq!(enrolled(&world).await, 3);
    let (admitted, refused) = rush(&[&world], 3..10).await;
    assert_eq!((admitted.len(), refused), (2, 5));
    // What a file does not say stays as it is; a word takes the quota away.
    world.apply(secret_document(json!({}))).await;
    assert_eq!(rush(&[&world], 20..21).await, (Vec::new(), 1));
    world.apply(secret_document(json!({ "quota": "unlimited" }))).await;
    assert_eq!(rush(&[&world], 20..30).await.1, 0);
}
