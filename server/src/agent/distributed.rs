use std::pin::pin;

use actix_web::HttpResponse;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{WriteIndex, node_key};
use tokio::time::Instant;

use super::answer::{AgentAnswer, Refusal, answer};
use super::heavy::LARGE;
use super::node_key::{identify, in_header, is_header_known};
use super::request::AgentRequest;
use super::{AgentApi, body, refusal_log};

/// Answers with the queries the host is to run now.
pub(super) async fn read(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    let work = pin!(async {
        let body = body::read(api, request, payload, api.caps.distributed_read).await?;
        let host = identify(api, request, node_key(&body.bytes)?.as_deref()).await?;
        Ok(api.fleet.checkin.read(&host).await)
    });
    answer(api, request, &api.endpoints.distributed_read, work).await
}

/// Takes answers. Success is also the answer to results of queries that are no longer open and to bodies over the cap:
/// an agent that is refused keeps all its answers and sends more each time. The sender of a large body is known before
/// the body is read: by the header, or by the key that agents write at one of its ends.
pub(super) async fn write(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    let work = pin!(async {
        let deadline = Instant::now() + api.answer_timeout;
        let is_known = is_header_known(api, request).await?;
        let body = match body::read_within(api, request, payload, api.caps.distributed_write).await? {
            Ok(body) => body,
            Err(ends) => return throw_away(api, request, payload, ends).await,
        };
        let length = body.bytes.len();
        if !is_known && length > LARGE {
            let Some(key) = body::node_key_at_an_end(&body.bytes) else { return Err(no_key_at_an_end()) };
            identify(api, request, Some(&key)).await?;
        }
        let (index, body) = api.heavy.run(length, move || (WriteIndex::read(&body.bytes), body)).await?;
        let index = index?;
        let write = index.of(&body.bytes);
        let host = identify(api, request, write.node_key.as_deref()).await?;
        api.fleet.checkin.write(&host, &write, deadline).await?;
        Ok(Bytes::from_static(ACCEPTED))
    });
    answer(api, request, &api.endpoints.distributed_write, work).await
}

fn no_key_at_an_end() -> Refusal {
    let reason = format!(
        "a body of more than {LARGE} bytes must have node_key as its first or last member, or in the header Authorization"
    );
    Refusal::Error(StatusCode::BAD_REQUEST, reason)
}

/// Drops a body over the cap and answers success. All queries the host has open count as failed.
async fn throw_away(
    api: &AgentApi,
    request: &AgentRequest,
    payload: &mut Payload,
    mut ends: body::BodyEnds,
) -> AgentAnswer {
    let cap = api.caps.distributed_write;
    api.metrics.limit_hit(cap.key);
    ends.drain(request, payload).await?;
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
