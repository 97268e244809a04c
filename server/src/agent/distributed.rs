use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{DistributedWrite, node_key};

use super::answer::{Answer, answer};
use super::node_key::{authenticate, check_header, in_header};
use super::{AgentDoor, body};

/// The bound of a write.
const LIMIT: &str = "max_distributed_write_body";

/// Tells a host what it is asked.
pub(super) async fn read(door: web::Data<AgentDoor>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&door, &request, "get_distributed_queries", async {
        let cap = door.caps.distributed_read;
        let body =
            body::read(&request, &mut payload, cap, "max_distributed_read_body", &door.budget, &door.metrics).await?;
        let host = authenticate(&door, &request, node_key(&body.bytes)?.as_deref()).await?;
        Ok(door.fleet.checkin.read(&host).await)
    })
    .await
}

/// Takes answers. Those to questions nobody asks any more are taken too, and so are those that are too large to be read:
/// an agent that is refused keeps them all and sends more each time.
pub(super) async fn write(door: web::Data<AgentDoor>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&door, &request, "submit_distributed_query_results", async {
        check_header(&door, &request).await?;
        let cap = door.caps.distributed_write;
        let body = match body::read_within(&request, &mut payload, cap, &door.budget, &door.metrics).await? {
            Ok(body) => body,
            Err(ends) => return throw_away(&door, &request, &mut payload, ends).await,
        };
        let write = DistributedWrite::read(&body.bytes)?;
        let host = authenticate(&door, &request, write.node_key.as_deref()).await?;
        door.fleet.checkin.write(&host, &write).await?;
        Ok(Bytes::from_static(ACCEPTED))
    })
    .await
}

/// Takes a body that is too large for what it is: the agent is rid of it, and its host answers nothing of what it owed.
async fn throw_away(
    door: &AgentDoor,
    request: &HttpRequest,
    payload: &mut web::Payload,
    mut ends: body::Ends,
) -> Answer {
    door.metrics.limit_hit(LIMIT);
    ends.drain(payload).await?;
    let in_body = ends.node_key();
    if in_body.or_else(|| in_header(request)).is_none() {
        return Err(body::is_too_large(door.caps.distributed_write, LIMIT));
    }
    let host = authenticate(door, request, in_body).await?;
    tracing::warn!(
        host_id = host.id,
        limit = "osquery.max_distributed_write_body",
        "answers were too large and thrown away"
    );
    door.fleet.live.answers_too_large(&host).await;
    Ok(Bytes::from_static(ACCEPTED))
}
