//! The webhook, over HTTP.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use super::fleet::{CHEAPER, SimulatedFleet, rollout};
use crate::config::Secret;
use crate::lock::lock;

/// The token of the webhook's URL.
const TOKEN: &str = "not-a-secret-token";

#[derive(Default)]
struct Receiver {
    /// Requests that are still refused.
    refusals: Mutex<u32>,
    told: Mutex<Vec<Value>>,
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
        lock(&self.told).push(message);
        HttpResponse::Ok().finish()
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.told))
    }
}

#[actix_web::test]
async fn the_webhook_is_told_of_every_step_and_again_until_it_has_arrived() {
    let (receiver, url) = Receiver::start(2);
    let mut fleet = SimulatedFleet::with(10, |config| config.rollouts.webhook_url = Secret::new(url)).await;
    fleet.world.apply(json!([rollout("told", CHEAPER, &[50.0, 100.0])])).await;
    fleet.world.post("rollouts/told/pause", json!({})).await.expect(200);
    let rollouts = Arc::clone(&fleet.world.app.fleet.rollouts);
    for _ in 0..2 {
        rollouts.tell().await.unwrap();
        assert_eq!(receiver.take(), Vec::<Value>::new(), "what was refused has not arrived");
    }
    rollouts.tell().await.unwrap();
    let told = receiver.take();
    let texts: Vec<&str> = told.iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Rollout \"told\": began in stage 1 by Admin", "Rollout \"told\": paused in stage 1 by Admin"]);
    assert_eq!(told[1]["rollout"]["name"], "told");
    assert_eq!(told[1]["decision"]["kind"], "paused");
    rollouts.tell().await.unwrap();
    assert_eq!(receiver.take(), Vec::<Value>::new(), "what has arrived is not told again");
    // What nobody took for a day is given up.
    fleet.world.post("rollouts/told/abort", json!({})).await.expect(200);
    fleet.advance(Duration::from_secs(25 * 3600).as_secs());
    rollouts.tell().await.unwrap();
    assert_eq!(receiver.take(), Vec::<Value>::new());
}
