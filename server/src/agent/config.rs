use actix_web::{HttpRequest, HttpResponse, web};
use muster_api::osquery::node_key;

use super::answer::answer;
use super::node_key::authenticate;
use super::{AgentDoor, body};

/// Answers with the config of the host itself.
pub(super) async fn config(
    door: web::Data<AgentDoor>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse {
    answer(&door, &request, "get_client_config", async {
        let body = body::read(&request, &mut payload, door.caps.config, "max_config_body", &door.budget, &door.metrics)
            .await?;
        let host = authenticate(&door, &request, node_key(&body.bytes)?.as_deref()).await?;
        door.fleet.hosts.config_fetched(&host);
        let config = door.fleet.schedule.config_for(&host)?;
        #[cfg(feature = "planted-faults")]
        let config = door.planted.config(config);
        Ok(config)
    })
    .await
}
