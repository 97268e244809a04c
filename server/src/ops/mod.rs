//! Door 4: what machines ask.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use crate::telemetry::Metrics;

/// What the operations share.
#[derive(Debug, Clone)]
pub struct OpsDoor {
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
}

/// Whether what the server needs answers.
pub trait Health: std::fmt::Debug + Send + Sync {
    /// Names the part that does not.
    fn check(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

impl OpsDoor {
    pub fn new(metrics: Arc<Metrics>, health: Arc<dyn Health>) -> Self {
        Self { metrics, health }
    }
}

pub fn routes(services: &mut ServiceConfig) {
    services.route("/healthz", web::get().to(healthz)).route("/metrics", web::get().to(metrics));
}

/// 200 when the server can serve, 503 with the reason when it cannot.
async fn healthz(door: Data<OpsDoor>) -> HttpResponse {
    match door.health.check().await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(reason) => {
            tracing::warn!(reason, "not healthy");
            HttpResponse::ServiceUnavailable().json(serde_json::json!({ "error": reason }))
        }
    }
}

async fn metrics(door: Data<OpsDoor>) -> HttpResponse {
    match door.metrics.render() {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            HttpResponse::InternalServerError().json(serde_json::json!({ "error": "the metrics could not be written" }))
        }
    }
}
