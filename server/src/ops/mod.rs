//! What machines ask: health checks, metrics and the version.

use std::pin::Pin;
use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, json};

use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// What the operations share.
#[derive(Debug, Clone)]
pub struct OpsApi {
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
    lifecycle: Lifecycle,
}

/// Whether the parts the server needs answer.
pub trait Health: std::fmt::Debug + Send + Sync {
    /// What can be checked.
    fn parts(&self) -> &[HealthPart];
    /// Says what is wrong with one of them.
    fn check(&self, part: &HealthPart) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// A part that can be checked.
#[derive(Debug, Clone, Copy)]
pub struct HealthPart {
    pub name: &'static str,
    /// What Fleet calls it.
    pub aliases: &'static [&'static str],
}

impl OpsApi {
    pub fn new(metrics: Arc<Metrics>, health: Arc<dyn Health>, lifecycle: Lifecycle) -> Self {
        Self { metrics, health, lifecycle }
    }

    async fn check(&self, part: &HealthPart) -> Result<(), String> {
        let outcome = self.health.check(part).await;
        if let Err(reason) = &outcome {
            tracing::warn!(part = part.name, reason, "a part that is needed does not answer");
        }
        outcome
    }
}

pub fn routes(services: &mut ServiceConfig) {
    services
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics));
}

const STOPPING: &str = "the server is stopping";

/// 200 without a body while the server is alive and not stopping: what load balancers and liveness checks ask. A database
/// that is away does not change it: agents that are known are served all the same, and a restart would help nobody.
/// `?check=` asks for single parts, as with Fleet.
async fn healthz(api: Data<OpsApi>, request: HttpRequest) -> HttpResponse {
    if api.lifecycle.is_stopping() {
        return unavailable(STOPPING);
    }
    let asked = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_or_else(|_| Vec::new(), web::Query::into_inner);
    for (_, name) in asked.iter().filter(|(key, _)| key == "check") {
        let part = api.health.parts().iter().find(|part| part.name == name || part.aliases.contains(&name.as_str()));
        let Some(part) = part else {
            let known: Vec<&str> = api.health.parts().iter().map(|part| part.name).collect();
            let reason = format!("nothing of that name can be checked; check knows {}", known.join(", "));
            return HttpResponse::BadRequest().json(json!({ "error": reason }));
        };
        if let Err(reason) = api.check(part).await {
            return unavailable(&reason);
        }
    }
    HttpResponse::Ok().finish()
}

/// Whether everything works here: 200 `ready`, or 503 with what does not.
async fn readyz(api: Data<OpsApi>) -> HttpResponse {
    let mut checks = Map::new();
    let mut is_ready = !api.lifecycle.is_stopping();
    for part in api.health.parts() {
        let outcome = api.check(part).await;
        is_ready &= outcome.is_ok();
        checks.insert(part.name.to_owned(), outcome.err().unwrap_or_else(|| "ok".to_owned()).into());
    }
    let status = match (is_ready, api.lifecycle.is_stopping()) {
        (true, _) => "ready",
        (false, true) => "stopping",
        (false, false) => "unavailable",
    };
    let body = json!({ "status": status, "checks": checks });
    if is_ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

fn unavailable(reason: &str) -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": reason }))
}

async fn metrics(api: Data<OpsApi>) -> HttpResponse {
    match api.metrics.render() {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            HttpResponse::InternalServerError().json(json!({ "error": "the metrics could not be written" }))
        }
    }
}
