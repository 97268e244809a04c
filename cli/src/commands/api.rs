//! `fleetctl api`: a request of one's own, with the session of the context.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::str::FromStr as _;

use anyhow::{Context as _, anyhow, bail};
use clap_complete::{ArgValueCandidates, CompletionCandidate};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

use super::ClientSession;
use crate::output;
use crate::rest::RawRequest;

const EXAMPLES: &str = "\
Fields: a value that is a number, true, false, null, or JSON that begins with [ or {, is sent as such; any other is a string, and
so is one in double quotes, which are left out: -F 'name=\"7\"' sends the string 7. With GET and HEAD, fields are parameters of the path.

Exit codes: 0 if the status is 2xx, 4 if it is 4xx, 5 if it is 5xx; 1 if there is no response, or one of another status.

Examples:
  # List the hosts that are online
  fleetctl api 'hosts?status=online'

  # Look for hosts; the parameter is encoded
  fleetctl api -X GET hosts -F 'query=web 1' -F per_page=10

  # Create a label
  fleetctl api labels -F name=servers -F 'query=SELECT 1 FROM users WHERE username = \"www\"'

  # Change the configuration with a body from standard input
  echo '{\"org_info\": {\"org_name\": \"Example\"}}' | fleetctl api -X PATCH config --body -

  # Ask a path outside of the API
  fleetctl api /healthz";

/// The longest body that is read from a file.
const LARGEST_BODY: u64 = 64 << 20;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Path: hosts/7 is /api/v1/fleet/hosts/7; one that begins with a slash stands for itself
    path: String,
    /// HTTP method [default: GET, or POST with --field or --body]
    #[arg(short = 'X', long, value_name = "METHOD", add = ArgValueCandidates::new(methods))]
    method: Option<String>,
    /// Field of the JSON body, or parameter of a GET; can be repeated
    #[arg(short = 'F', long = "field", value_name = "KEY=VALUE", allow_hyphen_values = true)]
    fields: Vec<String>,
    /// File with the body, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    body: Option<PathBuf>,
    /// Header to send besides; can be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Print the status and the headers of the response before its body
    #[arg(short, long)]
    include: bool,
}

fn methods() -> Vec<CompletionCandidate> {
    ["GET", "POST", "PATCH", "PUT", "DELETE"].map(CompletionCandidate::new).into()
}

/// A response of a status that is no success; its body is printed.
#[derive(Debug, thiserror::Error)]
#[error("the server responded with {0}")]
pub struct FailedStatus(StatusCode);

impl FailedStatus {
    /// 4 or 5, as the status begins; 1 for others.
    pub fn exit_code(&self) -> u8 {
        match self.0 {
            status if status.is_client_error() => 4,
            status if status.is_server_error() => 5,
            _ => 1,
        }
    }

    /// Whether the session has ended.
    pub fn is_unauthenticated(&self) -> bool {
        self.0 == StatusCode::UNAUTHORIZED
    }
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let request = request(&args)?;
    let server = session.logged_in()?;
    let begin = |status: StatusCode, headers: &HeaderMap| match args.include {
        true => output::data(&head(status, headers)),
        false => Ok(()),
    };
    let is_terminal = std::io::stdout().is_terminal();
    let (mut rest, mut ends_line) = (Vec::new(), true);
    let take = |bytes: &[u8]| {
        ends_line = bytes.last() == Some(&b'\n');
        if is_terminal { output::data(&for_terminal(&mut rest, bytes)) } else { output::bytes(bytes) }
    };
    let status = server.raw(request, begin, take).await?;
    // So that what follows in a terminal begins a line; what is read by others stays as it is.
    if is_terminal && !ends_line {
        output::line("")?;
    }
    if status.is_success() { Ok(()) } else { Err(FailedStatus(status).into()) }
}

/// Bytes as text that changes nothing of a terminal, up to the last whole letter; `rest` keeps what follows.
fn for_terminal(rest: &mut Vec<u8>, bytes: &[u8]) -> String {
    rest.extend_from_slice(bytes);
    let whole = match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => rest.len(),
    };
    let whole: Vec<u8> = rest.drain(..whole).collect();
    output::printable(&String::from_utf8_lossy(&whole))
}

fn head(status: StatusCode, headers: &HeaderMap) -> String {
    let mut text = format!("{status}\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {}\n", output::printable(&String::from_utf8_lossy(value.as_bytes()))));
    }
    text + "\n"
}

fn request(args: &Args) -> anyhow::Result<RawRequest> {
    let has_body = !args.fields.is_empty() || args.body.is_some();
    let method = match &args.method {
        Some(method) => Method::from_str(&method.to_ascii_uppercase())
            .ok()
            .with_context(|| format!("{method:?} is not an HTTP method"))?,
        None if has_body => Method::POST,
        None => Method::GET,
    };
    let fields = args.fields.iter().map(|field| parsed(field)).collect::<anyhow::Result<Vec<_>>>()?;
    let in_path = matches!(method, Method::GET | Method::HEAD);
    let (mut query, mut body) = (Vec::new(), None);
    if let Some(path) = &args.body {
        if in_path {
            bail!("a {method} has no body; choose another method with -X");
        }
        body = Some((read(path)?, "application/json"));
    } else if in_path {
        query = fields.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    } else if !fields.is_empty() {
        let mut object = Map::new();
        for (name, text) in fields {
            if object.insert(name.to_owned(), value(name, text)?).is_some() {
                bail!("the field {name:?} is given twice; a list is written as {name}='[1, 2]'");
            }
        }
        body = Some((serde_json::to_vec(&object).context("cannot write the body")?, "application/json"));
    }
    let path = args.path.clone();
    Ok(RawRequest { method, path, query, headers: headers(&args.headers)?, body })
}

fn parsed(field: &str) -> anyhow::Result<(&str, &str)> {
    let parts = field.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.with_context(|| format!("{field:?} is not a field such as name=value"))
}

/// The value of a field of the body.
fn value(name: &str, text: &str) -> anyhow::Result<Value> {
    let is_quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    if is_quoted || text.starts_with(['[', '{']) {
        return serde_json::from_str(text).map_err(|error| anyhow!("the value of {name:?} is not JSON: {error}"));
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => Ok(value),
        _ => Ok(text.into()),
    }
}

fn read(path: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        let mut limited = std::io::stdin().lock().take(LARGEST_BODY + 1);
        limited.read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let cannot = || format!("cannot read {}", path.display());
        let mut limited = std::fs::File::open(path).with_context(cannot)?.take(LARGEST_BODY + 1);
        limited.read_to_end(&mut bytes).with_context(cannot)?;
    }
    if bytes.len() as u64 > LARGEST_BODY {
        bail!("the body has more than {} MiB", LARGEST_BODY >> 20);
    }
    Ok(bytes)
}

fn headers(given: &[String]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for header in given {
        let wrong = || format!("{header:?} is not a header such as 'Accept: text/csv'");
        let (name, value) = header.split_once(':').with_context(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok().with_context(wrong)?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok().with_context(wrong)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Args {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            args: Args,
        }
        Alone::parse_from([&["api"], words].concat()).args
    }

    #[test]
    fn fields_are_parameters_or_a_body() {
        let get = request(&args(&["hosts", "-X", "get", "-F", "query=a b", "-F", "page=1"])).unwrap();
        assert_eq!(get.query, [("query".to_owned(), "a b".to_owned()), ("page".to_owned(), "1".to_owned())]);
        assert!(get.body.is_none());
        let post = request(&args(&["x", "-F", "a=1", "-F", "b=\"1\"", "-F", "c=[1,\"x\"]", "-F", "d=x=y", "-F", "e="]));
        let (method, body) = post.map(|post| (post.method, post.body.unwrap().0)).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(method, Method::POST);
        assert_eq!(body, serde_json::json!({"a": 1, "b": "1", "c": [1, "x"], "d": "x=y", "e": ""}));
        assert_eq!(request(&args(&["hosts"])).unwrap().method, Method::GET);
    }

    #[test]
    fn mistakes_are_named() {
        for (words, part) in [
            (&["x", "-F", "a"][..], "is not a field"),
            (&["x", "-F", "a={"], "is not JSON"),
            (&["x", "-F", "a=1", "-F", "a=2"], "given twice"),
            (&["x", "-X", "no method"], "not an HTTP method"),
            (&["x", "-H", "none"], "is not a header"),
            (&["x", "-X", "GET", "--body", "-"], "has no body"),
        ] {
            let error = request(&args(words)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_terminal_gets_no_sequences_and_whole_letters() {
        let mut rest = Vec::new();
        let parts = ["a\u{1b}[31m\n".as_bytes(), &[0xc3], &[0xbc, b'b'], &[0xff, b'c']];
        let shown: Vec<String> = parts.into_iter().map(|part| for_terminal(&mut rest, part)).collect();
        assert_eq!(shown, ["a\u{fffd}[31m\n", "", "\u{fc}b", "\u{fffd}c"]);
    }

    #[test]
    fn exit_codes_follow_the_status() {
        let code = |status| FailedStatus(StatusCode::from_u16(status).unwrap()).exit_code();
        assert_eq!([404, 422, 500, 503, 302].map(code), [4, 4, 5, 5, 1]);
    }
}
