//! Servers that refuse every change of operators.

use super::closed::{assert_agents_go_on, assert_all_refused};
use crate::rest::operations::furnished;
use crate::support::{Rest, TestServer};

#[tokio::test]
async fn every_change_is_refused_and_recorded_while_hosts_go_on() {
    let mut first = furnished().await;
    first.stop().await;
    let server = TestServer::beside_with(&first, |config| config.server.read_only = true).await;
    assert_all_refused(&server, "server.read_only").await;
    assert_agents_go_on(&server).await;
}

#[tokio::test]
async fn a_new_server_is_not_set_up_while_it_is_read_only() {
    let server = TestServer::empty(|config| config.server.read_only = true).await;
    let answer = server.rest.anonymous().post("/api/v1/setup", &Rest::set_up_body()).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(server.number("SELECT count(*) FROM users"), 0);
}
