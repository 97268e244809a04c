use std::borrow::Cow;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use muster_api::osquery::answer::ACCEPTED;
use muster_api::osquery::{Log, LogType, ReadError, write_line};

use super::AgentApi;
use super::answer::{AgentAnswer, Refusal, answer};
use super::body::{AgentBody, BodyReader, node_key_at_an_end};
use super::heavy::LARGE;
use super::inflate::{self, inflate};
use super::node_key::{identify, is_header_known};
use super::request::AgentRequest;
use crate::fleet::carves::scheduled_carves;
use crate::fleet::logs::{LogLines, LogStream};
use crate::fleet::statistics::{FailedTimes, failed_queries, stopped_queries};

/// Lines one batch may have, 256 times what stock agents send, so that tiny lines cannot cost more than large ones.
const MAX_LINES: usize = 256 * 1024;

/// Keeps log lines. Success means that they are durable.
pub(super) async fn log(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    answer(api, request, &api.endpoints.log, pin!(keep(api, request, payload))).await
}

/// The sender is known before anything is done that costs much, wherever the request shows it early: in the header, in
/// front of a compressed body, at the end of another. The body is scanned once: the scan finds the key, the type and where
/// each line stands. Lines are copied only after the key is known to be good and their number is within the limit.
async fn keep(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> AgentAnswer {
    let mut is_known = is_header_known(api, request).await?;
    let is_gzip = is_gzip(request)?;
    let mut reader = BodyReader::new(api, request, payload, api.caps.log);
    if is_gzip
        && !is_known
        && let Some(key) = inflate::node_key_in_front(reader.first(inflate::FRONT).await?)
    {
        identify(api, request, Some(&key)).await?;
        is_known = true;
        reader.sender_is_known();
    }
    let body = reader.read().await?;
    let body = if is_gzip { inflate(api, body, is_known).await? } else { body };
    let length = body.bytes.len();
    // Of a small body it is found out with everything else.
    if !is_known && length > LARGE {
        let Some(key) = node_key_at_an_end(&body.bytes) else {
            api.metrics.limit_hit("log_without_key");
            let reason = format!("the body is larger than {LARGE} bytes and neither begins nor ends with node_key");
            return Err(Refusal::Error(StatusCode::PAYLOAD_TOO_LARGE, reason));
        };
        identify(api, request, Some(&key)).await?;
    }
    let scan = move || (Scanned::of(&body), body);
    let (scanned, body) = api.heavy.run(length, scan).await?;
    let Scanned { node_key, log_type, count, ranges } = scanned?;
    let host = identify(api, request, node_key.as_deref()).await?;
    if count > MAX_LINES {
        api.metrics.limit_hit("log_lines");
        let reason = format!("more than {MAX_LINES} lines; lower the agent's logger_tls_max_lines");
        return Err(Refusal::Error(StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    let stream = match log_type {
        LogType::Result => LogStream::Result,
        LogType::Status => LogStream::Status,
        LogType::Unknown(word) => {
            return Err(Refusal::Error(StatusCode::BAD_REQUEST, format!("unknown log type: {word}")));
        }
    };
    let wants_failed = stream == LogStream::Status && api.fleet.statistics.wants_failed();
    let take = move || {
        let lines = copy(&body, ranges);
        let failed = if wants_failed { failed_queries(&lines) } else { FailedTimes::new() };
        let (stopped, carves) = match stream {
            LogStream::Status => (stopped_queries(&lines), Vec::new()),
            LogStream::Result => (Vec::new(), scheduled_carves(&lines)),
        };
        (lines, stopped, failed, carves)
    };
    let (lines, stopped, failed, carves) = api.heavy.run(length, take).await?;
    #[cfg(feature = "planted-faults")]
    let lines = api.planted.lines(lines);
    if !lines.is_empty() {
        api.fleet.logs.accept(Arc::clone(&host), stream, lines).await?;
        api.fleet.carves.requests.note_scheduled(host.id, &carves);
        api.fleet.statistics.note_stopped(&host, stopped);
        api.fleet.statistics.note_failed(&host, failed);
    }
    Ok(Bytes::from_static(ACCEPTED))
}

/// What a body says, and where its lines stand; not where if there are more than [`MAX_LINES`].
struct Scanned {
    node_key: Option<String>,
    log_type: LogType,
    count: usize,
    ranges: Vec<Range<usize>>,
}

impl Scanned {
    fn of(body: &AgentBody) -> Result<Self, ReadError> {
        let Log { node_key, log_type, elements } = Log::read(&body.bytes)?;
        let count = elements.len();
        let ranges = if count > MAX_LINES { Vec::new() } else { elements.into_ranges() };
        Ok(Self { node_key: node_key.map(Cow::into_owned), log_type, count, ranges })
    }
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
