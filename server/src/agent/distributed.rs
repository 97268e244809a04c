use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{DistributedWrite, node_key};

use super::answer::{AgentAnswer, answer};
use super::node_key::{authenticate, check_header, in_header};
use super::{AgentApi, body, refusal_log};

/// Answers with the queries the host is to run now.
pub(super) async fn read(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "get_distributed_queries", async {
        let body = body::read(&api, &request, &mut payload, api.caps.distributed_read).await?;
        let host = authenticate(&api, &request, node_key(&body.bytes)?.as_deref()).await?;
        Ok(api.fleet.checkin.read(&host).await)
    })
    .await
}

/// Takes answers. Success is also the answer to results of queries that are no longer open and to bodies over the cap:
/// an agent that is refused keeps all its answers and sends more each time.
pub(super) async fn write(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "submit_distributed_query_results", async {
        check_header(&api, &request).await?;
        let body = match body::read_within(&api, &request, &mut payload, api.caps.distributed_write).await? {
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

/// Drops a body over the cap and answers success. All queries the host has open count as failed.
async fn throw_away(
    api: &AgentApi,
    request: &HttpRequest,
    payload: &mut web::Payload,
    mut ends: body::BodyEnds,
) -> AgentAnswer {
    let cap = api.caps.distributed_write;
    api.metrics.limit_hit(cap.key);
    ends.drain(payload).await?;
    let in_body = ends.node_key();
    if in_body.or_else(|| in_header(request)).is_none() {
        return Err(cap.refusal("the body"));
    }
    let host = authenticate(api, request, in_body).await?;
    let reason = "answers dropped: the body is larger than osquery.max_distributed_write_body allows";
    refusal_log::refused(api, request, "submit_distributed_query_results", StatusCode::PAYLOAD_TOO_LARGE, reason);
    api.fleet.live.answers_too_large(&host).await;
    Ok(Bytes::from_static(ACCEPTED))
}
