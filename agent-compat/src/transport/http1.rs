//! The little of HTTP/1.1 that an agent needs.

use std::io::Read as _;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Response, TransportError};
use crate::agent::Request;

/// Longest status line and headers in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Longest body as sent, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

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

/// Reads one answer; `gunzip` says whether the request allowed compression.
pub async fn read_response<S>(stream: &mut S, gunzip: bool) -> Result<Response, TransportError>
where
    S: AsyncRead + Unpin,
{
    let mut reader = Reader { stream, buffer: BytesMut::new() };
    let (status, headers) = loop {
        let (status, headers) = parse_head(&reader.head().await?)?;
        if status >= 200 {
            break (status, headers);
        }
    };
    let response = Response { status, headers, body: Bytes::new() };
    let chunked = response.header("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = response.header("Content-Length").map(|value| value.trim().parse::<usize>());
    let body = match length {
        _ if status == 204 || status == 304 => Bytes::new(),
        _ if chunked => reader.chunks().await?,
        Some(Ok(length)) => reader.exactly(length).await?,
        Some(Err(_)) => return Err(broken("bad Content-Length")),
        None => reader.until_end().await?,
    };
    let compressed = response.header("Content-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("gzip"));
    let body = if gunzip && compressed { unpack(&body)? } else { body };
    Ok(Response { body, ..response })
}

struct Reader<'a, S> {
    stream: &'a mut S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Reader<'_, S> {
    /// Reads more; `false` at a proper end of the stream.
    async fn more(&mut self) -> Result<bool, TransportError> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    async fn head(&mut self) -> Result<Bytes, TransportError> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return Ok(self.buffer.split_to(at + 4).freeze());
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(broken("the headers are too long"));
            }
            if !self.more().await? {
                return Err(broken("the server closed the connection without an answer"));
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Bytes, TransportError> {
        if length > MAX_BODY_BYTES {
            return Err(broken("the body is too long"));
        }
        while self.buffer.len() < length {
            if !self.more().await? {
                return Err(broken("the answer ended early"));
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn until_end(&mut self) -> Result<Bytes, TransportError> {
        while self.more().await? {
            if self.buffer.len() > MAX_BODY_BYTES {
                return Err(broken("the body is too long"));
            }
        }
        Ok(self.buffer.split().freeze())
    }

    async fn line(&mut self) -> Result<String, TransportError> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.advance(at + 2);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD_BYTES || !self.more().await? {
                return Err(broken("bad chunk"));
            }
        }
    }

    async fn chunks(&mut self) -> Result<Bytes, TransportError> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| broken("bad chunk size"))?;
            if length == 0 {
                // Trailers end with an empty line.
                while !self.line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            if body.len().saturating_add(length) > MAX_BODY_BYTES {
                return Err(broken("the body is too long"));
            }
            body.extend_from_slice(&self.exactly(length).await?);
            if !self.line().await?.is_empty() {
                return Err(broken("bad chunk end"));
            }
        }
    }
}

type Head = (u16, Vec<(String, String)>);

fn parse_head(head: &[u8]) -> Result<Head, TransportError> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let mut parts = status_line.split(' ');
    let version = parts.next().unwrap_or_default();
    let status = parts.next().and_then(|code| code.parse().ok());
    let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
        return Err(broken("not an HTTP/1 answer"));
    };
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    Ok((status, headers))
}

fn unpack(body: &[u8]) -> Result<Bytes, TransportError> {
    let mut plain = Vec::new();
    let limit = 16 * MAX_BODY_BYTES as u64;
    flate2::read::GzDecoder::new(body).take(limit).read_to_end(&mut plain)?;
    Ok(plain.into())
}

fn broken(reason: &str) -> TransportError {
    TransportError::Broken(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentEndpoint;

    async fn read(bytes: &[u8]) -> Result<Response, TransportError> {
        read_response(&mut &bytes[..], true).await
    }

    #[tokio::test]
    async fn lengths_chunks_and_ends_are_understood() {
        let plain = read(b"HTTP/1.1 503 Busy\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        assert_eq!((plain.status, plain.header("x-a"), &plain.body[..]), (503, Some("b"), &b"{}"[..]));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(&read(chunked).await.unwrap().body[..], b"{\"a\":1}");
        assert_eq!(&read(b"HTTP/1.0 200 OK\r\n\r\nrest").await.unwrap().body[..], b"rest");
        let early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read(early).await.unwrap().status, 204);
    }

    #[tokio::test]
    async fn broken_answers_are_refused() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
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
