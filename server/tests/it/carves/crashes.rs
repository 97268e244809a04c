use std::time::Duration;

use agent_compat::{Carver, TestAgent};
use serde_json::Value;

use super::{archive, assert_kept};
use crate::support::{Rest, ServerSetup, eventually};

/// Sends blocks from `from` on until one is not answered; gives the first that was not acknowledged.
async fn send_until_lost(carver: &Carver, agent: &TestAgent, session: &str, from: u64) -> u64 {
    for block in from..carver.block_count() {
        let exchange = carver.block(agent, session, block).await;
        if exchange.response.is_none() {
            return block;
        }
        assert_kept(&exchange);
    }
    carver.block_count()
}

/// The process is killed again and again while blocks come. What was acknowledged is there, what was not is sent again, and
/// the carve is complete when all of it is there and not before.
#[tokio::test]
async fn killed_servers_lose_no_block_that_was_acknowledged() {
    let setup = ServerSetup::new(&[]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let agent = setup.address().enrolled(1).await;
    let carver = Carver::numbered(1, 2_000, archive(600_500));
    let begun = carver.begin(&agent).await;
    let session: Value = serde_json::from_slice(begun.body()).unwrap();
    let session = session["session_id"].as_str().unwrap().to_owned();
    let mut from = 0;
    for kill in 1..=3_u64 {
        let reached = || async {
            let carve: Value = rest.try_get("carves/1").await.filter(|answer| answer.status == 200)?.json();
            (carve["carve"]["received_blocks"].as_u64()? >= kill * 60).then_some(())
        };
        let (first_lost, ()) = tokio::join!(send_until_lost(&carver, &agent, &session, from), async {
            eventually("blocks have come", Duration::from_secs(60), async || reached().await).await;
            server.kill();
        });
        server = setup.start().await;
        let carve: Value = rest.read::<Value>("carves/1").await["carve"].clone();
        let (received, max_block) = (carve["received_blocks"].as_u64().unwrap(), carve["max_block"].as_u64().unwrap());
        assert_eq!(received, max_block + 1, "without a gap");
        assert!(received == first_lost || received == first_lost + 1, "{received} of {first_lost}");
        assert_eq!(carve["status"], "receiving");
        assert_eq!(rest.get("carves/1/contents").await.status, 422);
        from = first_lost;
    }
    assert_eq!(send_until_lost(&carver, &agent, &session, from).await, carver.block_count());
    let carve: Value = rest.read("carves/1").await;
    assert_eq!(carve["carve"]["status"], "complete");
    let contents = rest.getting("carves/1/contents").send().await.unwrap().bytes().await.unwrap();
    assert!(contents == carver.contents);
}
