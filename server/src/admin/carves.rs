//! Listing, taking and deleting carves.

use std::ops::Range;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_api::rest::{Carve, CarveBlockData, CarveBlockDigest, CarveEnvelope, Enveloped as _};

use super::AdminApi;
use super::answer::Done;
use super::auth::Caller;
use super::error::AdminAnswer;
use super::lists::{FileHead, TextParts};
use super::params::{Parameter, ParameterKind, Params, page_parameters};
use super::work::internal;
use crate::fleet::access::Principal;
use crate::fleet::carves::{CarveContents, CarveFilter, CarveSort};
use crate::fleet::{self, Fleet};

/// Most carves in an answer that is no page.
const MAX_LISTED: u64 = 10_000;

/// Bytes that are read at one time.
const PART: usize = 1 << 20;

/// The keys that carves can be ordered by.
const ORDER_KEYS: [(&str, CarveSort); 5] = [
    ("id", CarveSort::Id),
    ("name", CarveSort::Name),
    ("created_at", CarveSort::CreatedAt),
    ("host_id", CarveSort::HostId),
    ("carve_size", CarveSort::CarveSize),
];

/// The description of the parameters of [`list`].
pub(super) fn parameters() -> Vec<Parameter> {
    let mut parameters = page_parameters(&ORDER_KEYS);
    parameters.push(Parameter::new("query", ParameterKind::Text, "A part of the name, in any case."));
    let about = "Whether to list carves whose contents have been removed, too.";
    parameters.push(Parameter::new("expired", ParameterKind::Switch, about));
    parameters.push(Parameter::new("host_id", ParameterKind::Number, "Only carves of this host."));
    let about = "Only carves that this live query has asked for.";
    parameters.push(Parameter::new("live_query_id", ParameterKind::Number, about));
    parameters.push(Parameter::new("carve_id", ParameterKind::Text, "Only the carve of this `carve_guid`."));
    parameters
}

/// The description of the parameters of [`blocks`].
pub(super) fn block_parameters() -> Vec<Parameter> {
    vec![Parameter::new("count", ParameterKind::Number, "Only so many blocks, from the first on.")]
}

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let (offset, limit) = params.page()?;
    let (order, is_descending) = params.order(&ORDER_KEYS)?;
    let text = params.text("query").unwrap_or_default();
    let with_expired = params.switch("expired")?;
    let ids = [params.number("host_id")?, params.number("live_query_id")?];
    let [host_id, live_query_id] = ids.map(|id| id.and_then(|id| i64::try_from(id).ok()));
    let carve_id = params.text("carve_id");
    params.finish()?;
    let (order, limit) = (order.unwrap_or_default(), limit.unwrap_or(MAX_LISTED));
    let filter =
        CarveFilter { text, with_expired, carve_id, host_id, live_query_id, order, is_descending, offset, limit };
    let list =
        move |fleet: Fleet, by: Principal| async move { Ok(Carve::list(fleet.carves.list(&by, &filter).await?)) };
    Ok(api.read(&caller, list).await?)
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    let read = move |fleet: Fleet, by: Principal| async move {
        let carve = fleet.carves.by_id(&by, *id).await?;
        Ok(CarveEnvelope { carve, warnings: Vec::new() })
    };
    api.read(&caller, read).await
}

pub(super) async fn block(api: Data<AdminApi>, caller: Caller, path: Path<(i64, u64)>) -> AdminAnswer {
    let (id, block) = path.into_inner();
    let read = move |fleet: Fleet, by: Principal| async move {
        let data = fleet.carves.block(&by, id, block).await?;
        Ok(CarveBlockData { data: STANDARD.encode(data) })
    };
    api.read(&caller, read).await
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    let delete = move |fleet: Fleet, by: Principal| async move {
        fleet.carves.delete(&by, *id).await?;
        Ok(Done {})
    };
    api.change(&caller, delete).await
}

/// The contents as they came, or the range that is asked for.
pub(super) async fn contents(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    Params::of(&request)?.finish()?;
    let header = |name: HeaderName| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (range, if_range) = (header(RANGE), header(IF_RANGE));
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let begin = move || async move { fleet.carves.contents(&principal, *id).await };
    let answer = api.lists.send_file(&caller.0, begin, |contents: CarveContents| {
        let (size, tag) = (contents.size(), format!("\"{}\"", contents.tag()));
        let asked = match range.filter(|_| if_range.is_none_or(|known| known == tag)) {
            Some(range) => AskedRange::of(&range, size),
            None => AskedRange::All,
        };
        let (status, range) = match asked {
            AskedRange::All => (StatusCode::OK, 0..size),
            AskedRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            AskedRange::Outside => {
                let mut response = HttpResponse::build(StatusCode::RANGE_NOT_SATISFIABLE);
                return Err(Box::new(response.insert_header((CONTENT_RANGE, format!("bytes */{size}"))).finish()));
            }
        };
        let mut head = HttpResponse::build(status);
        head.insert_header((ACCEPT_RANGES, "bytes")).insert_header((ETAG, tag));
        if status == StatusCode::PARTIAL_CONTENT {
            let (first, last) = (range.start, range.end - 1);
            head.insert_header((CONTENT_RANGE, format!("bytes {first}-{last}/{size}")));
        }
        head.content_type(if contents.is_zstd() { "application/zstd" } else { "application/x-tar" });
        let file = FileHead { head, name: contents.file_name(), bytes: range.end - range.start };
        Ok((file, ContentParts { contents, left: range }))
    });
    Ok(answer.await?)
}

/// The digests of the first blocks, with which a client finds out how much of a file it may go on after.
pub(super) async fn blocks(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let count = params.number("count")?;
    params.finish()?;
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let begin = move || async move {
        let contents = fleet.carves.contents(&principal, *id).await?;
        let end = count.unwrap_or(u64::MAX).min(contents.block_count());
        Ok(DigestLines { contents, left: 0..end })
    };
    Ok(api.lists.send_parts(&caller.0, "application/x-ndjson", None, begin).await?)
}

/// Lines with the digests of blocks.
struct DigestLines {
    contents: CarveContents,
    left: Range<u64>,
}

impl TextParts for DigestLines {
    fn is_finished(&self) -> bool {
        self.left.is_empty()
    }

    async fn next(&mut self) -> fleet::Result<Bytes> {
        let (mut lines, mut read) = (Vec::new(), 0);
        while read < PART as u64
            && let Some(block_id) = self.left.next()
        {
            let (size, sha256) = self.contents.digest(block_id, PART).await?;
            let line = serde_json::to_vec(&CarveBlockDigest { block_id, size, sha256 }).map_err(internal)?;
            lines.extend_from_slice(&line);
            lines.push(b'\n');
            read += size;
        }
        Ok(lines.into())
    }
}

/// Bytes of a carve that are sent part by part.
struct ContentParts {
    contents: CarveContents,
    left: Range<u64>,
}

impl TextParts for ContentParts {
    fn is_finished(&self) -> bool {
        self.left.is_empty()
    }

    async fn next(&mut self) -> fleet::Result<Bytes> {
        let most = usize::try_from(self.left.end - self.left.start).unwrap_or(PART).min(PART);
        let part = self.contents.read(self.left.start, most).await?;
        self.left.start += part.len() as u64;
        Ok(part)
    }
}

/// Bytes that a header `Range` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AskedRange {
    All,
    Part(Range<u64>),
    /// There are no such bytes.
    Outside,
}

impl AskedRange {
    /// What is no range, or several of them, asks for all.
    fn of(header: &str, size: u64) -> Self {
        let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::All;
        };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let range = match (first.trim(), last.trim()) {
            ("", last) => number(last).map(|count| size.saturating_sub(count)..size),
            (first, "") => number(first).map(|first| first..size),
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Some(first..last.saturating_add(1).min(size)),
                _ => None,
            },
        };
        match range {
            None => Self::All,
            Some(range) if range.is_empty() => Self::Outside,
            Some(range) => Self::Part(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_writes_them() {
        let asked = |header| AskedRange::of(header, 100);
        for (header, range) in [
            ("bytes=0-99", 0..100),
            ("bytes=0-0", 0..1),
            ("bytes=40-", 40..100),
            ("bytes=99-200", 99..100),
            ("bytes=-10", 90..100),
            ("bytes=-1000", 0..100),
            (" bytes= 4 - 5 ", 4..6),
        ] {
            assert_eq!(asked(header), AskedRange::Part(range), "{header}");
        }
        for header in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(asked(header), AskedRange::Outside, "{header}");
        }
        for header in ["", "bytes", "bytes=5-4", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=-"] {
            assert_eq!(asked(header), AskedRange::All, "{header}");
        }
    }
}
