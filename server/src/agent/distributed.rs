use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{DistributedWrite, node_key};

use super::answer::{AgentAnswer, answer};
use super::node_key::{authenticate, check_header, in_header};
use super::{AgentApi, body};

/// The bound of a write.
const LIMIT: &str = "max_distributed_write_body";

/// Tells a host what it is asked.
pub(super) async fn read(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "get_distributed_queries", async {
        let cap = api.caps.distributed_read;
        let body =
            body::read(&request, &mut payload, cap, "max_distributed_read_body", &api.budget, &api.metrics).await?;
        let host = authenticate(&api, &request, node_key(&body.bytes)?.as_deref()).await?;
        Ok(api.fleet.checkin.read(&host).await)
    })
    .await
}

/// Takes answers. Those to questions nobody asks any more are taken too, and so are those that are too large to be read:
/// an agent that is refused keeps them all and sends more each time.
pub(super) async fn write(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "submit_distributed_query_results", async {
        check_header(&api, &request).await?;
        let cap = api.caps.distributed_write;
        let body = match body::read_within(&request, &mut payload, cap, &api.budget, &api.metrics).await? {
            Ok(body) => body,
            Err(ends) => return throw_away(&api, &request, &mut payload, ends).await,
        };
        let write = DistributedWrite::read(&body.bytes)?;
        let host = authenticate(&api, &request, write.node_key.as_deref()).await?;
        api.fleet.checkin.write(&host, &write).await?;
        Ok(Bytes::from_static(ACCEPTED))
    })
    .await
}

/// Takes a body that is too large for what it is: the agent is rid of it, and its host answers nothing of what it owed.
async fn throw_away(
    api: &AgentApi,
    request: &HttpRequest,
    payload: &mut web::Payload,
    mut ends: body::BodyEnds,
) -> AgentAnswer {
    api.metrics.limit_hit(LIMIT);
    ends.drain(payload).await?;
    let in_body = ends.node_key();
    if in_body.or_else(|| in_header(request)).is_none() {
        return Err(body::is_too_large(api.caps.distributed_write, LIMIT));
    }
    let host = authenticate(api, request, in_body).await?;
    tracing::warn!(
        host_id = host.id,
        limit = "osquery.max_distributed_write_body",
        "answers were too large and thrown away"
    );
    api.fleet.live.answers_too_large(&host).await;
    Ok(Bytes::from_static(ACCEPTED))
}
