//! The webhook of rollouts, over HTTP.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use super::world::World;
use crate::config::Secret;
use crate::lock::lock;

/// A pack, and a rollout of other SQL for its query.
const PACK: &str = r#"[
    {"kind": "query", "spec": {"name": "work", "query": "SELECT 1"}},
    {"kind": "pack", "spec": {"name": "base", "targets": {"labels": ["All Hosts"]}, "queries": [{"query": "work", "interval": 60}]}}
]"#;
const ROLLOUT: &str = r#"[
    {"kind": "rollout", "spec": {"name": "reported", "documents": [{"kind": "query", "spec": {"name": "work", "query": "SELECT 2"}}]}}
]"#;

/// The token of the webhook's URL.
const TOKEN: &str = "not-a-secret-token";

#[derive(Default)]
struct Receiver {
    /// Requests that are still refused.
    refusals: Mutex<u32>,
    reported: Mutex<Vec<Value>>,
}

impl Receiver {
    /// Listens, and gives its address.
    fn start(refusals: u32) -> (Arc<Self>, String) {
        let receiver = Arc::new(Self { refusals: Mutex::new(refusals), ..Self::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&receiver);
        let server = HttpServer::new(move || {
            let receiver = Arc::clone(&shared);
            let answer = move |body: web::Json<Value>| {
                let answered = receiver.answer(body.into_inner());
                async move { answered }
            };
            App::new().route(&format!("/hook/{TOKEN}"), web::post().to(answer))
        });
        actix_web::rt::spawn(server.workers(1).disable_signals().listen(listener).unwrap().run());
        (receiver, format!("http://{address}/hook/{TOKEN}"))
    }

    fn answer(&self, message: Value) -> HttpResponse {
        let mut refusals = lock(&self.refusals);
        if *refusals > 0 {
            *refusals -= 1;
            return HttpResponse::ServiceUnavailable().finish();
        }
        lock(&self.reported).push(message);
        HttpResponse::Ok().finish()
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.reported))
    }
}

#[actix_web::test]
async fn the_webhook_is_told_of_every_step_and_again_until_it_has_arrived() {
    let (receiver, url) = Receiver::start(2);
    let world = World::with(|config| config.rollouts.webhook_url = Secret::new(url)).await;
    world.apply(serde_json::from_str(PACK).unwrap()).await;
    world.apply(serde_json::from_str(ROLLOUT).unwrap()).await;
    world.post("rollouts/reported/pause", json!({})).await.expect(200);
    let rollouts = Arc::clone(&world.app.fleet.rollouts);
    for _ in 0..2 {
        rollouts.report_steps().await.unwrap();
        assert_eq!(receiver.take(), Vec::<Value>::new(), "what was refused has not arrived");
    }
    rollouts.report_steps().await.unwrap();
    let reported = receiver.take();
    let texts: Vec<&str> = reported.iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        ["Rollout \"reported\": began in stage 1 by Admin", "Rollout \"reported\": paused in stage 1 by Admin"]
    );
    assert_eq!(reported[1]["rollout"]["name"], "reported");
    assert_eq!(reported[1]["decision"]["kind"], "paused");
    rollouts.report_steps().await.unwrap();
    assert_eq!(receiver.take(), Vec::<Value>::new(), "what has arrived is not reported again");
    // What nobody took for a day is given up.
    world.post("rollouts/reported/abort", json!({})).await.expect(200);
    world.app.fleet.clock.advance(Duration::from_secs(25 * 3600));
    rollouts.report_steps().await.unwrap();
    assert_eq!(receiver.take(), Vec::<Value>::new());
}
