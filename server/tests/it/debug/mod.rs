//! What operators ask of a server in trouble.

mod activity;
mod logs;

use std::time::Duration;

use crate::support::{Answer, Rest, ServerProcess, ServerSetup};

/// How long something may take to show on a busy machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// A server of its own process on SQLite, which is set up, and the administrator.
async fn started(flags: &[&str]) -> (ServerSetup, ServerProcess, Rest) {
    let setup = ServerSetup::on_sqlite(flags);
    let process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    (setup, process, rest)
}

/// Lets some time pass on a busy machine: a user may ask `/debug` only so often.
async fn pass_time(rest: &Rest) {
    for _ in 0..50 {
        rest.get("/healthz").await;
    }
}

/// Sends a request with an id.
async fn send_as(id: &str, request: reqwest::RequestBuilder) -> Answer {
    let response = request.header("X-Request-Id", id).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}
