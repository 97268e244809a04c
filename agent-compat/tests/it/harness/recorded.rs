//! Requests of a real osqueryd, read from `golden/`.

use std::fs;
use std::path::{Path, PathBuf};

use agent_compat::agent::AgentEndpoint;
use anyhow::{Context as _, Result, anyhow};

/// A request as it was on the wire, but for `Host` and `Content-Length`, which follow from where it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// Where it was read from, for messages.
    pub name: String,
    pub path: String,
    /// The key in the `Authorization` header.
    pub header_key: Option<String>,
    /// Headers that not every request has.
    pub extra_headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl RecordedRequest {
    /// Endpoint of the request; `None` for carves, which have answers of their own.
    pub fn endpoint(&self) -> Option<AgentEndpoint> {
        let path = self.path.split('?').next().unwrap_or_default();
        match path.trim_start_matches("/api/v1/osquery").trim_start_matches("/api/osquery") {
            "/enroll" => Some(AgentEndpoint::Enroll),
            "/config" => Some(AgentEndpoint::Config),
            "/log" => Some(AgentEndpoint::Log),
            "/distributed/read" => Some(AgentEndpoint::DistributedRead),
            "/distributed/write" => Some(AgentEndpoint::DistributedWrite),
            _ => None,
        }
    }

    /// Whether the body is compressed.
    pub fn is_gzip(&self) -> bool {
        self.extra_headers.iter().any(|(name, _)| *name == "Content-Encoding")
    }

    /// The same request with another body.
    pub fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self.clone() }
    }

    /// The same request, of a carve whose session is this and not the one that was recorded.
    pub fn with_session(&self, session: &str) -> Self {
        const RECORDED: &[u8] = br#""session_id":"sess1""#;
        let Some(at) = self.body.windows(RECORDED.len()).position(|window| window == RECORDED) else {
            return self.clone();
        };
        let session = format!(r#""session_id":"{session}""#);
        self.with_body([&self.body[..at], session.as_bytes(), &self.body[at + RECORDED.len()..]].concat())
    }

    /// The same request with another node key in body and header; an empty one means no header.
    pub fn with_key(&self, key: &str) -> Self {
        let old = self.header_key.clone().unwrap_or_default();
        let mut request = self.with_body(replace(&self.body, old.as_bytes(), key.as_bytes()));
        request.header_key = (!key.is_empty()).then(|| key.to_owned());
        request
    }
}

/// Replaces the last occurrence, which is the member `node_key` in every recorded body.
fn replace(body: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = body.windows(old.len().max(1)).rposition(|window| window == old);
    match at {
        Some(at) => [&body[..at], new, &body[at + old.len()..]].concat(),
        None => body.to_vec(),
    }
}

/// Result of a request when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Answered,
    /// A node key was given.
    Enrolled(String),
    /// The answer was `node_invalid`.
    KeyRefused,
    /// The agent never saw an answer.
    Lost,
}

/// The recorded single requests whose file name begins with one of the numbers.
///
/// # Errors
/// When a file is missing or not as it should be.
pub fn golden(numbers: std::ops::RangeInclusive<u32>) -> Result<Vec<RecordedRequest>> {
    let table = fs::read_to_string(folder().join("requests.tsv"))?;
    let mut requests = Vec::new();
    for line in table.lines() {
        let mut columns = line.split('\t');
        let mut next = || columns.next().with_context(|| format!("requests.tsv: {line:?} is too short"));
        let (file, path, key) = (next()?, next()?, next()?);
        if !numbers.contains(&number(file)?) {
            continue;
        }
        requests.push(RecordedRequest {
            name: file.to_owned(),
            path: path.to_owned(),
            header_key: (key != "-").then(|| key.to_owned()),
            extra_headers: columns.map(extra_header).collect::<Result<_>>()?,
            body: fs::read(folder().join(file)).with_context(|| file.to_owned())?,
        });
    }
    Ok(requests)
}

/// The names of all recorded sequences with a number in this range, in order.
///
/// # Errors
/// When the folder cannot be read.
pub fn recordings(numbers: std::ops::RangeInclusive<u32>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".tsv") && number(&name).is_ok_and(|number| numbers.contains(&number)) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// One recorded sequence of requests.
///
/// # Errors
/// When the file is missing or not as it should be.
pub fn recording(name: &str) -> Result<Vec<(Recorded, RecordedRequest)>> {
    let bytes = fs::read(folder().join(name)).with_context(|| name.to_owned())?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.enumerate().map(|(index, line)| read_line(name, index + 1, line)).collect()
}

fn read_line(name: &str, number: usize, line: &[u8]) -> Result<(Recorded, RecordedRequest)> {
    let name = format!("{name}:{number}");
    let mut columns = line.splitn(4, |byte| *byte == b'\t');
    let mut next = || columns.next().with_context(|| format!("{name} is too short"));
    let answer = std::str::from_utf8(next()?)?;
    let (path, key) = (std::str::from_utf8(next()?)?.to_owned(), std::str::from_utf8(next()?)?.to_owned());
    let body = next()?.to_vec();
    let answer = match answer.split_once(' ') {
        Some(("enrolled", key)) => Recorded::Enrolled(key.to_owned()),
        None if answer == "answered" => Recorded::Answered,
        None if answer == "key-refused" => Recorded::KeyRefused,
        None if answer == "lost" => Recorded::Lost,
        _ => return Err(anyhow!("{name}: unknown answer {answer:?}")),
    };
    let header_key = (key != "-").then_some(key);
    Ok((answer, RecordedRequest { name, path, header_key, extra_headers: Vec::new(), body }))
}

fn extra_header(text: &str) -> Result<(&'static str, String)> {
    let (name, value) = text.split_once(": ").with_context(|| format!("not a header: {text:?}"))?;
    let name = ["Content-Encoding", "Accept-Encoding"].into_iter().find(|known| *known == name);
    Ok((name.with_context(|| format!("unknown header: {text:?}"))?, value.to_owned()))
}

fn number(file: &str) -> Result<u32> {
    let digits = file.split('-').next().unwrap_or_default();
    digits.parse().with_context(|| format!("{file} has no number"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}
