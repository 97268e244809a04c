//! Answers that come line by line, for as long as there is something to say.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::{RestClient, RestError, fleet};
use crate::output;

/// Longest line that is taken.
const LINE_LIMIT: usize = 64 << 20;
/// The server sends blank lines while it has nothing to say; after such a silence the connection is dead.
const SILENCE: Duration = Duration::from_secs(90);
/// In place of the limit for answers that are read as a whole.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// An answer that is read line by line; one line is in memory at a time.
pub struct LineStream {
    answer: Response,
    address: String,
    url: String,
    splitter: LineSplitter,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamLine {
    pub bytes: Vec<u8>,
    /// Whether its end was seen; the connection may have been cut in the middle of the last line.
    pub is_whole: bool,
}

impl RestClient {
    /// Begins to read an answer of lines.
    pub async fn lines(&self, path: &str) -> Result<LineStream, RestError> {
        let url = format!("{}{}", self.address, fleet(path));
        let mut request = self.http.get(&url).timeout(LONGEST);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = timeout(SILENCE, request.send()).await.map_err(|_| silent(&self.address))?;
        let answer = answer.map_err(|error| RestError::unreachable(&self.address, error))?;
        let status = answer.status();
        if self.debug {
            output::note(&format!("GET {url}: {status}, reading lines"));
        }
        if !status.is_success() {
            let retry_after =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let bytes = answer.bytes().await.map_err(|error| RestError::unreachable(&self.address, error))?;
            return Err(RestError::from_answer(&url, status, retry_after, &bytes));
        }
        Ok(LineStream { answer, address: self.address.clone(), url, splitter: LineSplitter::default() })
    }
}

impl LineStream {
    /// The next line that is not blank; nothing once the server has ended the answer.
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

    /// What is said of a line that cannot be understood.
    pub fn misunderstood(&self, line: &StreamLine, cause: serde_json::Error) -> RestError {
        if line.is_whole {
            return RestError::Strange { url: self.url.clone(), cause };
        }
        self.cut("the connection was closed in the middle of an answer")
    }

    /// What is said when the answer has ended, and should not have.
    pub fn ended_early(&self) -> RestError {
        self.cut("the connection was closed before the end")
    }

    fn cut(&self, cause: &str) -> RestError {
        RestError::Unreachable { address: self.address.clone(), cause: cause.to_owned(), remedy: "" }
    }

    fn too_long(&self) -> RestError {
        RestError::LongLine { url: self.url.clone(), limit_mib: LINE_LIMIT >> 20 }
    }
}

fn silent(address: &str) -> RestError {
    let cause = format!("no sign of life for {} seconds", SILENCE.as_secs());
    RestError::Unreachable { address: address.to_owned(), cause, remedy: "" }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[derive(Debug, PartialEq, Eq)]
struct LineTooLong;

/// Makes lines of chunks.
#[derive(Default)]
struct LineSplitter {
    chunk: Vec<u8>,
    /// How much of the chunk is used up.
    used: usize,
    /// The beginning of a line whose end is still to come.
    begun: Vec<u8>,
}

impl LineSplitter {
    /// Takes a chunk; the one before must be used up.
    fn feed(&mut self, chunk: &[u8]) {
        self.chunk.clear();
        self.chunk.extend_from_slice(chunk);
        self.used = 0;
    }

    /// The next whole line; nothing when the chunk is used up.
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

    /// What came after the last line's end.
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
