//! Responses that are streamed line by line.

use std::time::Duration;

use reqwest::header::RANGE;
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::{RestClient, RestError, fleet};
use crate::output;

/// Maximum bytes of a line.
const LINE_LIMIT: usize = 64 << 20;
/// The server sends blank lines while idle; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(90);
/// Replaces the client's total timeout, which is too short for a stream.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A response that is read line by line; one line is in memory at a time.
pub struct LineStream {
    answer: Response,
    address: String,
    url: String,
    splitter: LineSplitter,
}

/// A line without its line end.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamLine {
    pub bytes: Vec<u8>,
    /// False if the stream ended before the line end was read.
    pub is_whole: bool,
}

impl RestClient {
    /// Sends a GET request whose response is read line by line.
    pub async fn lines(&self, path: &str) -> Result<LineStream, RestError> {
        let (answer, url) = self.open(path, None).await?;
        Ok(LineStream { answer, address: self.address.clone(), url, splitter: LineSplitter::default() })
    }

    /// Sends a GET request and hands on the bytes of the response as they come.
    pub async fn copy(&self, path: &str, mut take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (mut answer, _) = self.open(path, None).await?;
        loop {
            let chunk = timeout(SILENCE, answer.chunk()).await.map_err(|_| silent(&self.address))?;
            match chunk.map_err(|_| cut(&self.address, "the server broke off; what was printed is not everything"))? {
                Some(chunk) => take(&chunk)?,
                None => return Ok(()),
            }
        }
    }

    /// As [`RestClient::copy`], of bytes from `from` on. Gives `false` if the response has broken off.
    pub async fn copy_from(
        &self,
        path: &str,
        from: u64,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let (mut answer, url) = self.open(path, Some(from)).await?;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            anyhow::bail!(
                "{url} does not send a part of a file; is there a proxy between that drops the header Range?"
            );
        }
        loop {
            match timeout(SILENCE, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => take(&chunk)?,
                Ok(Ok(None)) => return Ok(true),
                Ok(Err(_)) | Err(_) => return Ok(false),
            }
        }
    }

    /// Sends a GET request whose response may take long, and gives its URL. `from` is the first byte that is wanted.
    async fn open(&self, path: &str, from: Option<u64>) -> Result<(Response, String), RestError> {
        let url = format!("{}{}", self.address, fleet(path));
        let mut request = self.http.get(&url).timeout(LONGEST);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(from) = from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let answer = timeout(SILENCE, request.send()).await.map_err(|_| silent(&self.address))?;
        let answer = answer.map_err(|error| RestError::unreachable(&self.address, error))?;
        let status = answer.status();
        if self.debug {
            output::note(&format!("GET {url}: {status}, reading"));
        }
        if !status.is_success() {
            let retry_after =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let bytes = answer.bytes().await.map_err(|error| RestError::unreachable(&self.address, error))?;
            return Err(RestError::from_response(&url, status, retry_after, &bytes));
        }
        Ok((answer, url))
    }
}

impl LineStream {
    /// The next line that is not blank; `None` at the end of the response.
    pub async fn next(&mut self) -> Result<Option<StreamLine>, RestError> {
        loop {
            while let Some(bytes) = self.splitter.take().map_err(|LineTooLong| self.too_long())? {
                if !is_blank(&bytes) {
                    return Ok(Some(StreamLine { bytes, is_whole: true }));
                }
            }
            let chunk = timeout(SILENCE, self.answer.chunk()).await.map_err(|_| silent(&self.address))?;
            match chunk.map_err(|error| RestError::unreachable(&self.address, error))? {
                Some(chunk) => self.splitter.feed(&chunk),
                None => {
                    let bytes = self.splitter.rest();
                    return Ok((!is_blank(&bytes)).then_some(StreamLine { bytes, is_whole: false }));
                }
            }
        }
    }

    /// The error for a line that is not valid.
    pub fn unreadable_line(&self, line: &StreamLine, cause: serde_json::Error) -> RestError {
        if line.is_whole {
            return RestError::Unreadable { url: self.url.clone(), cause };
        }
        self.cut("the connection was closed in the middle of a line")
    }

    /// The error for a response that ended too early.
    pub fn ended_early(&self) -> RestError {
        self.cut("the connection was closed before the end of the response")
    }

    fn cut(&self, cause: &str) -> RestError {
        cut(&self.address, cause)
    }

    fn too_long(&self) -> RestError {
        RestError::LongLine { url: self.url.clone(), limit_mib: LINE_LIMIT >> 20 }
    }
}

fn silent(address: &str) -> RestError {
    cut(address, &format!("no data for {} seconds", SILENCE.as_secs()))
}

fn cut(address: &str, cause: &str) -> RestError {
    RestError::Unreachable { address: address.to_owned(), cause: cause.to_owned(), remedy: "" }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[derive(Debug, PartialEq, Eq)]
struct LineTooLong;

/// Splits chunks into lines.
#[derive(Default)]
struct LineSplitter {
    chunk: Vec<u8>,
    /// Bytes of the chunk that are consumed.
    used: usize,
    /// Start of a line whose end has not arrived.
    begun: Vec<u8>,
}

impl LineSplitter {
    /// Adds a chunk; the previous one must be consumed.
    fn feed(&mut self, chunk: &[u8]) {
        self.chunk.clear();
        self.chunk.extend_from_slice(chunk);
        self.used = 0;
    }

    /// The next whole line; `None` when the chunk is consumed.
    fn take(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let unused = &self.chunk[self.used..];
        let end = unused.iter().position(|&byte| byte == b'\n');
        let part = &unused[..end.unwrap_or(unused.len())];
        if self.begun.len() + part.len() > LINE_LIMIT {
            return Err(LineTooLong);
        }
        self.begun.extend_from_slice(part);
        self.used += part.len() + usize::from(end.is_some());
        Ok(end.map(|_| std::mem::take(&mut self.begun)))
    }

    /// The text after the last line end.
    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk);
            while let Some(line) = splitter.take().unwrap() {
                lines.push(line);
            }
        }
        (lines, splitter.rest())
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        let text = b"{\"a\":1}\n\n\r\n{}\nrest";
        let whole = split(&[text]);
        assert_eq!(whole.0, [&b"{\"a\":1}"[..], b"", b"\r", b"{}"]);
        assert_eq!(whole.1, b"rest");
        for at in 0..text.len() {
            assert_eq!(split(&[&text[..at], &text[at..]]), whole);
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(split(&bytes), whole);
    }

    #[test]
    fn a_line_has_a_limit() {
        let mut splitter = LineSplitter::default();
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            splitter.feed(&chunk);
            assert_eq!(splitter.take(), Ok(None));
        }
        splitter.feed(b"\n");
        assert_eq!(splitter.take().unwrap().unwrap().len(), LINE_LIMIT);
        for _ in 0..64 {
            splitter.feed(&chunk);
            assert_eq!(splitter.take(), Ok(None));
        }
        splitter.feed(b"x\n");
        assert_eq!(splitter.take(), Err(LineTooLong));
    }
}
