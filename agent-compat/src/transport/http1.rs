//! The little of HTTP/1.1 that agents and the load generator need.

use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Response, TransportError};
use crate::agent::Request;

/// Longest status line and headers in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Most headers of a response, and of its trailer.
const MAX_HEADERS: usize = 64;
/// Longest body as sent, in bytes.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Where the parts of a response are in the buffer that it was read into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawResponse {
    /// Status code, never one of an interim response.
    pub status: u16,
    /// Status line and headers, the empty line included.
    pub head: Range<usize>,
    /// Body without transfer coding.
    pub body: Range<usize>,
    /// The server closes the connection after this response.
    pub closes: bool,
}

/// The head of a POST, with `Host` and `Content-Length` where the agent puts them.
pub(super) fn request_head(request: &Request, host: &str) -> String {
    let mut head = format!("POST {} HTTP/1.1\r\n", request.path);
    let mut host_written = false;
    for (name, value) in &request.headers {
        if *name == "Accept-Encoding" {
            head.push_str(&format!("Host: {host}\r\n"));
            host_written = true;
        }
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !host_written {
        head.push_str(&format!("Host: {host}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
    head
}

/// Reads one response; `gunzip` says whether the request allowed compression.
///
/// # Errors
/// As [`read_raw`], and if the body cannot be decompressed.
pub async fn read_response<S>(stream: &mut S, gunzip: bool) -> Result<Response, TransportError>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = Vec::new();
    let RawResponse { status, head, body, .. } = read_raw(stream, &mut buffer).await?;
    let headers = parse_head(&buffer[head], |_, headers| headers.iter().map(owned).collect())?.unwrap_or_default();
    let response = Response { status, headers, body: Bytes::from(buffer).slice(body) };
    if gunzip && response.header("Content-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("gzip")) {
        return Ok(Response { body: unpack(&response.body)?, ..response });
    }
    Ok(response)
}

/// Reads one response into the buffer, whose earlier content is lost. Bytes beyond the response are not to be expected:
/// a client that sends one request at a time may use the connection again.
///
/// # Errors
/// If the connection ends or fails before the response is complete, if it is not HTTP/1, or if head or body are longer
/// than agents take.
pub async fn read_raw<S>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<RawResponse>
where
    S: AsyncRead + Unpin,
{
    buffer.clear();
    let mut start = 0;
    let head = loop {
        match parse_head(&buffer[start..], Head::of)? {
            Some(head) if head.status >= 200 => break head,
            Some(interim) => start += interim.length,
            None if buffer.len() > MAX_HEAD_BYTES => return Err(broken("the headers are too long")),
            None if stream.read_buf(buffer).await? == 0 => {
                return Err(broken("the server closed the connection without an answer"));
            }
            None => {}
        }
    };
    let body_start = start + head.length;
    let body = match head.framing? {
        Framing::Length(length) if length > MAX_BODY_BYTES => return Err(broken("the body is too long")),
        Framing::Length(length) => {
            fill(stream, buffer, body_start + length).await?;
            body_start..body_start + length
        }
        Framing::Chunked => read_chunks(stream, buffer, body_start).await?,
        Framing::UntilEnd => {
            while stream.read_buf(buffer).await? > 0 {
                if buffer.len() - body_start > MAX_BODY_BYTES {
                    return Err(broken("the body is too long"));
                }
            }
            body_start..buffer.len()
        }
    };
    Ok(RawResponse { status: head.status, head: start..body_start, body, closes: head.closes })
}

/// Reads until the buffer holds at least this many bytes.
async fn fill<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>, length: usize) -> io::Result<()> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(broken("the answer ended early"));
        }
    }
    Ok(())
}

/// Reads chunks and their trailer, and moves the content of all chunks to `start`.
async fn read_chunks<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    start: usize,
) -> io::Result<Range<usize>> {
    let (mut end, mut at) = (start, start);
    loop {
        let (line, length) =
            read_part(stream, buffer, at, |bytes| httparse::parse_chunk_size(bytes).map_err(|_| "bad chunk size"))
                .await?;
        at += line;
        if length == 0 {
            read_part(stream, buffer, at, trailer).await?;
            return Ok(start..end);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_BODY_BYTES - (end - start) {
            return Err(broken("the body is too long"));
        }
        fill(stream, buffer, at + length + 2).await?;
        if &buffer[at + length..at + length + 2] != b"\r\n" {
            return Err(broken("bad chunk end"));
        }
        buffer.copy_within(at..at + length, end);
        end += length;
        at += length + 2;
    }
}

fn trailer(bytes: &[u8]) -> Result<Status<(usize, ())>, &'static str> {
    match httparse::parse_headers(bytes, &mut [EMPTY_HEADER; MAX_HEADERS]) {
        Ok(Status::Complete((length, _))) => Ok(Status::Complete((length, ()))),
        Ok(Status::Partial) => Ok(Status::Partial),
        Err(_) => Err("bad trailer"),
    }
}

/// Reads until `parse` finds what it looks for at `at`; its length and value.
async fn read_part<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    at: usize,
    parse: impl Fn(&[u8]) -> Result<Status<(usize, T)>, &'static str>,
) -> io::Result<(usize, T)> {
    loop {
        match parse(&buffer[at..]).map_err(broken)? {
            Status::Complete(found) => return Ok(found),
            Status::Partial if buffer.len() - at > MAX_HEAD_BYTES => return Err(broken("a chunk has no end of line")),
            Status::Partial => {
                let missing = buffer.len() + 1;
                fill(stream, buffer, missing).await?;
            }
        }
    }
}

/// Framing of a body.
enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

struct Head {
    status: u16,
    /// Bytes up to the body.
    length: usize,
    /// An error if the length is given and is not a number.
    framing: io::Result<Framing>,
    closes: bool,
}

/// A parsed head without its headers.
struct StatusLine {
    status: u16,
    is_http_1_0: bool,
    /// Bytes up to the body.
    length: usize,
}

impl Head {
    fn of(line: StatusLine, headers: &[Header<'_>]) -> Self {
        let has_no_body = line.status < 200 || line.status == 204 || line.status == 304;
        let (mut length, mut is_chunked, mut closes) = (None, false, line.is_http_1_0);
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                length = Some(std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok()));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked |= header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            } else if header.name.eq_ignore_ascii_case("connection") {
                closes |= header.value.trim_ascii().eq_ignore_ascii_case(b"close");
            }
        }
        let framing = match length {
            _ if has_no_body => Ok(Framing::Length(0)),
            _ if is_chunked => Ok(Framing::Chunked),
            Some(Some(length)) => Ok(Framing::Length(length)),
            Some(None) => Err(broken("bad Content-Length")),
            None => Ok(Framing::UntilEnd),
        };
        closes |= matches!(framing, Ok(Framing::UntilEnd));
        Self { status: line.status, length: line.length, framing, closes }
    }
}

/// Parses a head and gives it to `take`; `None` while it is not complete.
fn parse_head<T>(bytes: &[u8], take: impl FnOnce(StatusLine, &[Header<'_>]) -> T) -> io::Result<Option<T>> {
    // On the stack and not initialized: this runs for every response that the load generator gets.
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    match parsed.map_err(|error| io::Error::other(format!("not an HTTP/1 answer: {error}")))? {
        Status::Partial => Ok(None),
        Status::Complete(length) => {
            let status = response.code.unwrap_or_default();
            let line = StatusLine { status, is_http_1_0: response.version == Some(0), length };
            Ok(Some(take(line, response.headers)))
        }
    }
}

fn owned(header: &Header<'_>) -> (String, String) {
    (header.name.to_owned(), String::from_utf8_lossy(header.value).trim().to_owned())
}

fn unpack(body: &[u8]) -> io::Result<Bytes> {
    let mut plain = Vec::new();
    let limit = 16 * MAX_BODY_BYTES as u64;
    flate2::read::GzDecoder::new(body).take(limit).read_to_end(&mut plain)?;
    Ok(plain.into())
}

fn broken(reason: &'static str) -> io::Error {
    io::Error::other(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentEndpoint;

    /// Hands out at most so many bytes at once.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            out: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let (piece, rest) = self.0.split_at(self.1.min(self.0.len()).min(out.remaining()));
            out.put_slice(piece);
            self.0 = rest;
            std::task::Poll::Ready(Ok(()))
        }
    }

    async fn read(bytes: &[u8]) -> Result<Response, TransportError> {
        read_response(&mut &bytes[..], true).await
    }

    /// Body and whether the server closes, however the bytes are cut.
    async fn read_in_pieces(bytes: &[u8]) -> Result<(String, bool), String> {
        let mut found = None;
        for size in [1, 3, bytes.len().max(1)] {
            let mut buffer = b"left over".to_vec();
            let read = read_raw(&mut Pieces(bytes, size), &mut buffer).await;
            let read = read.map_err(|error| error.to_string());
            let read = read.map(|raw| (String::from_utf8_lossy(&buffer[raw.body]).into_owned(), raw.closes));
            assert_eq!(*found.get_or_insert_with(|| read.clone()), read, "in pieces of {size}");
        }
        found.unwrap()
    }

    #[tokio::test]
    async fn lengths_chunks_and_ends_are_understood() {
        let ok = |body: &str, closes| Ok((body.to_owned(), closes));
        for (bytes, expected) in [
            (&b"HTTP/1.1 503 Busy\r\nX: y\r\ncontent-length: 2\r\n\r\n{}"[..], ok("{}", false)),
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", ok("", true)),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
                ok("{\"a\":1}", false),
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n", ok("{}", false)),
            (b"HTTP/1.0 200 OK\r\n\r\nrest", ok("rest", true)),
            (b"HTTP/1.1 200 OK\r\n\r\nrest", ok("rest", true)),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", ok("", false)),
        ] {
            assert_eq!(read_in_pieces(bytes).await, expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn headers_are_kept_in_order_and_found_in_any_case() {
        let response = read(b"HTTP/1.1 503 Busy\r\nX-A: b\r\nContent-Length:  2 \r\n\r\n{}").await.unwrap();
        assert_eq!((response.status, &response.body[..]), (503, &b"{}"[..]));
        assert_eq!(
            response.headers,
            [("X-A", "b"), ("Content-Length", "2")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(response.header("x-a"), Some("b"));
    }

    #[tokio::test]
    async fn broken_responses_are_refused() {
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'y'; MAX_HEAD_BYTES]].concat();
        let crowded = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(MAX_HEADERS + 1), b"\r\n".to_vec()].concat();
        for (bytes, reason) in [
            (&b""[..], "without an answer"),
            (b"HTTP/1.1 200 OK\r\n", "without an answer"),
            (b"SSH-2.0\r\n\r\n", "not an HTTP/1 answer"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", "ended early"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", "bad Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n", "the body is too long"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk size"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", "the body is too long"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", "bad chunk end"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "ended early"),
            (&endless, "the headers are too long"),
            (&crowded, "too many headers"),
        ] {
            let error = read_in_pieces(bytes).await.unwrap_err();
            assert!(error.contains(reason), "{error}: {}", String::from_utf8_lossy(bytes));
            assert!(matches!(read(bytes).await, Err(TransportError::Broken(_))));
        }
    }

    #[test]
    fn the_head_has_the_agents_order() {
        let request = Request {
            endpoint: AgentEndpoint::Config,
            path: "/c".into(),
            headers: vec![("Accept", "application/json".to_owned()), ("Accept-Encoding", "gzip".to_owned())],
            body: Bytes::from_static(b"{}"),
            deadline_ms: 0,
        };
        assert_eq!(
            request_head(&request, "h:1"),
            "POST /c HTTP/1.1\r\nAccept: application/json\r\nHost: h:1\r\nAccept-Encoding: gzip\r\nContent-Length: 2\r\n\r\n"
        );
    }
}
