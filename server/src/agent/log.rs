use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{Log, LogType, write_line};

use super::AgentDoor;
use super::answer::{Refusal, answer};
use super::body::{self, Body};
use super::inflate::inflate;
use super::node_key::{authenticate, check_header};
use crate::fleet::logs::{Lines, Stream};

/// Bodies above this size are taken apart away from the threads that answer requests.
const LARGE: usize = 1 << 20;

/// Keeps log lines. Success means that they are durable.
pub(super) async fn log(door: web::Data<AgentDoor>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&door, &request, "submit_logs", async {
        check_header(&door, &request).await?;
        let body =
            body::read(&request, &mut payload, door.caps.log, "max_log_body", &door.budget, &door.metrics).await?;
        let body = if is_gzip(&request)? { inflate(&door, body).await? } else { body };
        let batch = if body.bytes.len() > LARGE {
            tokio::task::spawn_blocking(move || Batch::read(body))
                .await
                .map_err(|_| Refusal::Error(StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned()))??
        } else {
            Batch::read(body)?
        };
        let host = authenticate(&door, &request, batch.node_key.as_deref()).await?;
        let stream = batch
            .stream
            .map_err(|unknown| Refusal::Error(StatusCode::BAD_REQUEST, format!("unknown log type: {unknown}")))?;
        if !batch.lines.is_empty() {
            door.fleet.logs.accept(host, stream, batch.lines).await?;
        }
        Ok(Bytes::from_static(ACCEPTED))
    })
    .await
}

/// A batch taken apart; an unknown type waits for the key to be checked.
struct Batch {
    node_key: Option<String>,
    stream: Result<Stream, String>,
    lines: Lines,
}

impl Batch {
    fn read(body: Body) -> Result<Self, Refusal> {
        let log = Log::read(&body.bytes)?;
        let mut lines = Lines::with_capacity(body.bytes.len());
        for element in log.elements.iter() {
            lines.push(|line| write_line(element, line));
        }
        let stream = match log.log_type {
            LogType::Result => Ok(Stream::Result),
            LogType::Status => Ok(Stream::Status),
            LogType::Unknown(word) => Err(word),
        };
        Ok(Self { node_key: log.node_key.map(std::borrow::Cow::into_owned), stream, lines })
    }
}

fn is_gzip(request: &HttpRequest) -> Result<bool, Refusal> {
    match request.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().trim()) {
        None | Some("" | "identity") => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(other) => Err(Refusal::Error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Encoding {other:.32} is not known; send gzip or none"),
        )),
    }
}
