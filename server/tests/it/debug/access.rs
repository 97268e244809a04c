use super::{get, items, quick, refusal};
use crate::support::{Rest, ServerSetup, TestServer};

#[tokio::test]
async fn only_admins_may_ask_for_anything() {
    let server = TestServer::start().await;
    let nobody = [server.rest.anonymous(), server.rest.with_token("made-up"), server.rest.with_token("")];
    let others = [server.user("observer"), server.user("maintainer")];
    let mut asked = items(&server.rest).await;
    asked.extend(["", "pprof/", "no-such-item"].map(str::to_owned));
    for item in asked {
        for rest in &nobody {
            let response = get(rest, &item).await;
            assert_eq!(refusal(response, 401).await, "Please authenticate", "{item}");
        }
        for rest in &others {
            let response = get(rest, &item).await;
            assert_eq!(refusal(response, 403).await, "/debug is for users with the role admin", "{item}");
        }
    }
}

#[tokio::test]
async fn each_answer_names_its_node_and_another_node_is_refused() {
    let server = TestServer::start().await;
    let response = get(&server.rest, "runtime").await;
    let node = response.headers()["muster-node"].to_str().unwrap().to_owned();
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["node"], node);
    for (item, status) in [("nodes", 200), ("no-such-item", 400), ("pprof/profile?seconds=0", 400)] {
        let response =
            server.rest.getting(&format!("/debug/{item}")).header("Muster-Node", &node).send().await.unwrap();
        assert_eq!(response.status(), status, "{item}");
        assert_eq!(response.headers()["muster-node"], node, "{item}");
    }
    let other = server.rest.getting("/debug/runtime").header("Muster-Node", "1-of-another").send().await.unwrap();
    assert_eq!(other.headers()["muster-node"], node);
    assert!(refusal(other, 421).await.contains(&format!("this is the node {node}")));
}

#[tokio::test]
async fn an_address_of_its_own_serves_this_and_nothing_else() {
    let server = TestServer::with(|config| config.server.debug_address = "127.0.0.1:0".to_owned()).await;
    let debug = Rest::new(&server.debug_address()).with_token(server.rest.token());
    assert_eq!(get(&debug, "runtime").await.status(), 200);
    assert_eq!(debug.get("/healthz").await.status, 200);
    assert_eq!(debug.get("hosts").await.status, 421);
    let elsewhere = server.rest.get("/debug/runtime").await;
    assert!(elsewhere.status == 421 && elsewhere.text.contains("server.debug_address"), "{}", elsewhere.text);
    assert_eq!(get(&debug.anonymous(), "runtime").await.status(), 401);
}

#[tokio::test]
async fn a_user_may_ask_so_often_a_minute() {
    let server = TestServer::start().await;
    let mut refused = None;
    for _ in 0..1_000 {
        let response = get(&server.rest, "").await;
        if response.status() != 200 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 60);
    refusal(refused, 429).await;
}

/// Items that take long are asked for in their shortest form.
#[tokio::test]
async fn an_admin_gets_every_item() {
    // A process of its own, in which no other test takes a profile or a trace.
    let setup = ServerSetup::new(&[]);
    let _process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    for item in items(&rest).await {
        let response = get(&rest, &quick(&item)).await;
        let status = response.status().as_u16();
        // One profile is taken at a time, until its answer has ended.
        let body = response.bytes().await.unwrap();
        // Items of a database or a Redis that this server does not have say so.
        let is_not_here =
            status == 501 && (item.starts_with("db/") || item.starts_with("redis/") || item == "pprof/symbol");
        assert!(status == 200 || is_not_here, "{item}: {status} {body:?}");
    }
}
