use std::ops::Range;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{Log, LogType, write_line};

use super::AgentApi;
use super::answer::{Refusal, answer};
use super::body::{self, AgentBody};
use super::inflate::inflate;
use super::node_key::{authenticate, check_header};
use crate::fleet::logs::{LogLines, LogStream};

/// Lines of a body above this size are copied on a thread of their own, so that other requests are not held up.
const LARGE: usize = 1 << 20;

/// Lines one batch may have, 256 times what stock agents send, so that tiny lines cannot cost more than large ones.
const MAX_LINES: usize = 256 * 1024;

/// Keeps log lines. Success means that they are durable.
///
/// The body is scanned once: the scan finds the key, the type and where each line stands. Lines are copied only after the
/// key is known to be good and their number is within the limit.
pub(super) async fn log(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "submit_logs", async {
        check_header(&api, &request).await?;
        let body = body::read(&api, &request, &mut payload, api.caps.log).await?;
        let body = if is_gzip(&request)? { inflate(&api, body).await? } else { body };
        let (host, stream, ranges) = {
            let log = Log::read(&body.bytes)?;
            let host = authenticate(&api, &request, log.node_key.as_deref()).await?;
            if log.elements.len() > MAX_LINES {
                api.metrics.limit_hit("log_lines");
                let reason = format!("more than {MAX_LINES} lines; lower the agent's logger_tls_max_lines");
                return Err(Refusal::Error(StatusCode::PAYLOAD_TOO_LARGE, reason));
            }
            let stream = match log.log_type {
                LogType::Result => LogStream::Result,
                LogType::Status => LogStream::Status,
                LogType::Unknown(word) => {
                    return Err(Refusal::Error(StatusCode::BAD_REQUEST, format!("unknown log type: {word}")));
                }
            };
            (host, stream, log.elements.into_ranges())
        };
        let lines = if body.bytes.len() > LARGE {
            tokio::task::spawn_blocking(move || copy(&body, ranges))
                .await
                .map_err(|_| Refusal::Error(StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned()))?
        } else {
            copy(&body, ranges)
        };
        #[cfg(feature = "planted-faults")]
        let lines = api.planted.lines(lines);
        if !lines.is_empty() {
            api.fleet.logs.accept(host, stream, lines).await?;
        }
        Ok(Bytes::from_static(ACCEPTED))
    })
    .await
}

/// Copies the lines of a batch out of its body.
fn copy(body: &AgentBody, ranges: Vec<Range<usize>>) -> LogLines {
    let mut lines = LogLines::with_capacity(body.bytes.len());
    for element in ranges.into_iter().filter_map(|range| body.bytes.get(range)) {
        lines.push(|line| write_line(element, line));
    }
    lines
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
