//! What machines ask: health checks and metrics. Anybody may ask, unless `prometheus.basic_auth` names who may read the
//! metrics, so the answers cost next to nothing and say nothing of the inside.

mod access;
mod checks;

use std::sync::Arc;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, json};

pub use self::checks::{Health, HealthPart};

use self::access::MetricsAccess;
use self::checks::Checks;
use crate::config;
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// What the operations share.
#[derive(Debug, Clone)]
pub struct OpsApi {
    metrics: Arc<Metrics>,
    checks: Arc<Checks>,
    lifecycle: Lifecycle,
    access: MetricsAccess,
}

impl OpsApi {
    /// `access` says who may read the metrics.
    ///
    /// # Errors
    /// If the file of a password cannot be read.
    pub fn new(
        metrics: Arc<Metrics>,
        health: Arc<dyn Health>,
        lifecycle: Lifecycle,
        access: &config::PrometheusBasicAuth,
    ) -> Result<Self, String> {
        let access = MetricsAccess::of(access)?;
        Ok(Self { metrics, checks: Arc::new(Checks::new(health)), lifecycle, access })
    }

    /// Checks the parts that work again only after a restart.
    ///
    /// # Errors
    /// Which one does not work.
    pub async fn check_lasting(&self) -> Result<(), String> {
        for part in self.checks.parts().iter().filter(|part| part.needs_restart) {
            self.checks.check(part).await?;
        }
        Ok(())
    }
}

/// Adds all operations.
pub fn routes(services: &mut ServiceConfig) {
    health_routes(services);
    services.route("/metrics", web::get().to(metrics));
}

/// Adds the operations that load balancers need, wherever requests are served.
pub fn health_routes(services: &mut ServiceConfig) {
    services.route("/healthz", web::get().to(healthz)).route("/readyz", web::get().to(readyz));
}

const STOPPING: &str = "the server is stopping";

/// 200 without a body while the server is alive and not stopping: what load balancers and liveness checks ask. A part that
/// works again only after a restart changes it. A database that is away does not: agents that are known are served all the
/// same, and a restart would help nobody. `?check=` asks for single parts, as with Fleet.
async fn healthz(api: Data<OpsApi>, request: HttpRequest) -> HttpResponse {
    if api.lifecycle.is_stopping() {
        return unavailable(STOPPING);
    }
    let asked = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_or_else(|_| Vec::new(), web::Query::into_inner);
    let names: Vec<&str> = asked.iter().filter(|(key, _)| key == "check").map(|(_, name)| name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !api.checks.parts().iter().any(|part| part.is_called(name))) {
        let known: Vec<&str> = api.checks.parts().iter().map(|part| part.name).collect();
        let reason = format!("{unknown:?} cannot be checked; known are {}", known.join(", "));
        return HttpResponse::BadRequest().json(json!({ "error": reason }));
    }
    let is_meant = |part: &HealthPart| part.needs_restart || names.iter().any(|name| part.is_called(name));
    for part in api.checks.parts().iter().filter(|part| is_meant(part)) {
        if let Err(reason) = api.checks.check(part).await {
            return unavailable(&reason);
        }
    }
    HttpResponse::Ok().finish()
}

/// Whether everything works here: 200 `ready`, or 503 with what does not.
async fn readyz(api: Data<OpsApi>) -> HttpResponse {
    let mut checks = Map::new();
    let mut is_ready = !api.lifecycle.is_stopping();
    for part in api.checks.parts() {
        let outcome = api.checks.check(part).await;
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

/// The metrics in Prometheus' text format, for those who may read them.
async fn metrics(api: Data<OpsApi>, request: HttpRequest) -> HttpResponse {
    if !api.access.is_allowed(&request) {
        return access::refusal();
    }
    match api.metrics.render() {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            HttpResponse::InternalServerError().json(json!({ "error": "the metrics could not be written" }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use actix_web::{App, test};

    use super::*;

    /// A log file and a database, of which one does not work.
    #[derive(Debug)]
    struct Broken(&'static str);

    impl Health for Broken {
        fn parts(&self) -> &[HealthPart] {
            &[
                HealthPart { name: "database", aliases: &[], needs_restart: false },
                HealthPart { name: "result_log", aliases: &[], needs_restart: true },
            ]
        }

        fn check(&self, part: &HealthPart) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
            let works = part.name != self.0;
            Box::pin(async move { if works { Ok(()) } else { Err("broken".to_owned()) } })
        }
    }

    #[actix_web::test]
    async fn a_part_that_only_a_restart_mends_makes_the_server_unhealthy() {
        for (broken, healthz) in [("nothing", 200), ("database", 200), ("result_log", 503)] {
            let metrics = Arc::new(Metrics::new().unwrap());
            let api = OpsApi::new(
                metrics,
                Arc::new(Broken(broken)),
                Lifecycle::default(),
                &config::PrometheusBasicAuth::default(),
            )
            .unwrap();
            let service = test::init_service(App::new().app_data(Data::new(api)).configure(routes)).await;
            let readyz = if broken == "nothing" { 200 } else { 503 };
            for (path, status) in [("/healthz", healthz), ("/readyz", readyz)] {
                let response = test::call_service(&service, test::TestRequest::get().uri(path).to_request()).await;
                assert_eq!(response.status().as_u16(), status, "{path} without {broken}");
            }
        }
    }
}
