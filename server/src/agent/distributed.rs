use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{DistributedWrite, node_key};

use super::answer::answer;
use super::node_key::{authenticate, check_header};
use super::{AgentDoor, body};

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

/// Takes answers. Those to questions nobody asks any more are taken too: an agent that is refused keeps them all and
/// sends more each time.
pub(super) async fn write(door: web::Data<AgentDoor>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&door, &request, "submit_distributed_query_results", async {
        check_header(&door, &request).await?;
        let cap = door.caps.distributed_write;
        let body =
            body::read(&request, &mut payload, cap, "max_distributed_write_body", &door.budget, &door.metrics).await?;
        let write = DistributedWrite::read(&body.bytes)?;
        let host = authenticate(&door, &request, write.node_key.as_deref()).await?;
        door.fleet.checkin.write(&host, &write).await?;
        Ok(Bytes::from_static(ACCEPTED))
    })
    .await
}
