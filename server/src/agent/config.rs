use std::pin::pin;

use actix_web::HttpResponse;
use actix_web::dev::Payload;
use muster_api::osquery::{etag, node_key};

use super::answer::answer;
use super::node_key::identify;
use super::request::AgentRequest;
use super::{AgentApi, body};

/// Answers with the host's config, or says that it is unchanged.
pub(super) async fn config(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    let work = pin!(async {
        let body = body::read(api, request, payload, api.caps.config).await?;
        let host = identify(api, request, node_key(&body.bytes)?.as_deref()).await?;
        api.fleet.hosts.config_fetched(&host);
        let config = api.fleet.schedule.config_for(&host, etag(&body.bytes)?.as_deref())?;
        #[cfg(feature = "planted-faults")]
        let config = api.planted.config(config);
        Ok(config)
    });
    answer(api, request, &api.endpoints.config, work).await
}
