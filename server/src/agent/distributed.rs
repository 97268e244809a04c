use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{DistributedWrite, node_key};

use super::answer::{AgentAnswer, answer};
use super::body::AgentBody;
use super::heavy::LARGE;
use super::node_key::{authenticate, identify, in_header, is_header_known};
use super::refusal_log::{self, Sender};
use super::{AgentApi, body};

/// Answers with the queries the host is to run now.
pub(super) async fn read(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "get_distributed_queries", async {
        let body = body::read(&api, &request, &mut payload, api.caps.distributed_read).await?;
        let host = identify(&api, &request, node_key(&body.bytes)?.as_deref()).await?;
        Ok(api.fleet.checkin.read(&host).await)
    })
    .await
}

/// Takes answers. Success is also the answer to results of queries that are no longer open and to bodies over the cap:
/// an agent that is refused keeps all its answers and sends more each time.
pub(super) async fn write(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "submit_distributed_query_results", async {
        let is_known = is_header_known(&api, &request).await?;
        let body = match body::read_within(&api, &request, &mut payload, api.caps.distributed_write).await? {
            Ok(body) => body,
            Err(ends) => return throw_away(&api, &request, &mut payload, ends).await,
        };
        let key = in_header(&request);
        if body.bytes.len() <= LARGE {
            return take(&api, key, &body, |host_id| Sender::Host(host_id).note(&request)).await;
        }
        if !is_known && let Some(key) = body::node_key_at_an_end(&body.bytes) {
            authenticate(&api, None, Some(&key)).await?;
        }
        let (shared, key) = (api.clone(), key.map(str::to_owned));
        api.heavy.run_waiting(move || async move { take(&shared, key.as_deref(), &body, |_| {}).await }).await?
    })
    .await
}

/// `note` hears the id of the host once it is known.
async fn take(api: &AgentApi, in_header: Option<&str>, body: &AgentBody, note: impl FnOnce(i64)) -> AgentAnswer {
    let write = DistributedWrite::read(&body.bytes)?;
    let host = authenticate(api, in_header, write.node_key.as_deref()).await?;
    note(host.id);
    api.fleet.checkin.write(&host, &write).await?;
    Ok(Bytes::from_static(ACCEPTED))
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
    if in_body.or(in_header(request)).is_none() {
        return Err(cap.refusal("the body"));
    }
    let host = identify(api, request, in_body).await?;
    let reason = "answers dropped: the body is larger than osquery.max_distributed_write_body allows";
    refusal_log::refused(api, request, "submit_distributed_query_results", StatusCode::PAYLOAD_TOO_LARGE, reason);
    api.fleet.live.answers_too_large(&host).await;
    Ok(Bytes::from_static(ACCEPTED))
}
