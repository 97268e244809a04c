//! Blocks as objects of an S3-compatible store: `PREFIX/KEY/NUMBER`.
//!
//! A block is written with `If-None-Match: *`, so that a number stands for a block that never changes, whoever writes at the same
//! time. Stores that do not know this header are found out once, by an object of that name which stays (`PREFIX/probe`): there
//! a block is looked for before it is written, and of two that come at the very same moment the later one stays.

use std::time::Duration;

use anyhow::{Context as _, Result as SetUp};
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, IF_NONE_MATCH, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use rusty_s3::actions::{DeleteObjectsResponse, ListObjectsV2, ListObjectsV2Response, ObjectIdentifier};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use tokio::sync::OnceCell;

use super::{CarveStorage, Put, StorageError, Storing, is_key};
use crate::config;
use crate::sinks::http_client;

/// How long a signature is good. A request is sent at once.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// How long to wait for a connection, and for a request as a whole. Agents give up after 16 s.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The same for a part of a block: whoever reads it holds a thread of operators.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Most bytes of an answer that is no block: a page of a list.
const MAX_TEXT: usize = 4 << 20;

/// Objects that are listed and removed with one request.
const PAGE: usize = 1000;

/// Most pages that one call lists: twice the objects of a carve with the most blocks.
const MAX_PAGES: usize = 200;

type Result<T> = std::result::Result<T, StorageError>;

/// Carves in a bucket.
#[derive(Debug)]
pub struct CarveBucket {
    bucket: Bucket,
    credentials: Credentials,
    http: Client,
    /// In front of every name: empty, or with a slash at its end.
    prefix: String,
    /// Whether the store knows `If-None-Match`.
    is_conditional: OnceCell<bool>,
}

impl CarveBucket {
    /// Connects to nothing.
    ///
    /// # Errors
    /// When the settings name no bucket that there could be, or a file cannot be read.
    pub fn new(config: &config::S3) -> SetUp<Self> {
        let (style, url) =
            (if config.force_s3_path_style { UrlStyle::Path } else { UrlStyle::VirtualHost }, config.url());
        let url = Url::parse(&url).with_context(|| format!("s3.endpoint_url: {url:?} is no URL"))?;
        let bucket = Bucket::new(url, style, config.bucket.clone(), config.region().to_owned())
            .map_err(|error| anyhow::anyhow!("s3.bucket: {error}"))?;
        let secret = config.secret().map_err(anyhow::Error::msg)?;
        let credentials = Credentials::new(config.access_key_id.clone(), secret.reveal());
        let http = http_client(config.tls_ca.as_deref(), CONNECT_WITHIN, ANSWER_WITHIN)?;
        let prefix = config.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket, credentials, http, prefix, is_conditional: OnceCell::new() })
    }

    fn object(&self, key: &str, block: u64) -> Result<String> {
        if is_key(key) {
            Ok(format!("{}{key}/{block}", self.prefix))
        } else {
            Err(StorageError::new("not a key of contents"))
        }
    }

    fn request<'a>(&self, method: Method, action: &impl S3Action<'a>) -> RequestBuilder {
        self.http.request(method, action.sign(SIGNED_FOR))
    }

    async fn send(&self, what: &str, request: RequestBuilder) -> Result<Response> {
        // The URL of an error would show the signature.
        request.send().await.map_err(|error| self.failed(what, &describe(error)))
    }

    fn failed(&self, what: &str, why: &str) -> StorageError {
        StorageError(format!("bucket {}: {what}: {why}", self.bucket.name()))
    }

    /// What the store has said no with.
    async fn refused(&self, what: &str, response: Response) -> StorageError {
        let status = response.status();
        let text = read(response, MAX_TEXT).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let code = text.split_once("<Code>").and_then(|(_, rest)| Some(rest.split_once("</Code>")?.0));
        let code: String = code.unwrap_or("it does not say why").chars().take(100).collect();
        self.failed(what, &format!("{status}, {code}"))
    }

    /// Writes an object unless it is there. `false` if it is, where the store knows of conditions.
    async fn write_new(&self, object: &str, data: Bytes) -> Result<bool> {
        let what = "writing a block";
        let action = self.bucket.put_object(Some(&self.credentials), object);
        let request = self.request(Method::PUT, &action).header(IF_NONE_MATCH, "*").header(CONTENT_LENGTH, data.len());
        let response = self.send(what, request.body(data)).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            // Another is writing it at this moment.
            StatusCode::CONFLICT => Err(self.failed(what, "another node writes it, too")),
            _ => Err(self.refused(what, response).await),
        }
    }

    async fn find_out(&self) -> Result<bool> {
        let object = format!("{}probe", self.prefix);
        let probe = || self.write_new(&object, Bytes::from_static(b"Muster keeps carves here.\n"));
        Ok(!probe().await? || !probe().await?)
    }

    async fn conditional(&self) -> Result<bool> {
        self.is_conditional.get_or_try_init(|| self.find_out()).await.copied()
    }

    /// What an object is compared with these bytes; `None` if there is none.
    async fn compared(&self, object: &str, data: &Bytes) -> Result<Option<Put>> {
        let what = "reading a block";
        let action = self.bucket.get_object(Some(&self.credentials), object);
        let mut response = self.send(what, self.request(Method::GET, &action)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(self.refused(what, response).await);
        }
        let mut left = &data[..];
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(what, &describe(error)))? {
            match left.strip_prefix(&chunk[..]) {
                Some(rest) => left = rest,
                None => return Ok(Some(Put::Differs)),
            }
        }
        Ok(Some(if left.is_empty() { Put::Kept } else { Put::Differs }))
    }

    async fn put_block(&self, object: &str, data: Bytes) -> Result<Put> {
        if !self.conditional().await?
            && let Some(there) = self.compared(object, &data).await?
        {
            return Ok(there);
        }
        if self.write_new(object, data.clone()).await? {
            return Ok(Put::Kept);
        }
        let there = self.compared(object, &data).await?;
        there.ok_or_else(|| self.failed("writing a block", "it was removed meanwhile"))
    }

    async fn read_block(&self, object: &str, block: u64, offset: u64, length: usize) -> Result<Bytes> {
        let what = "reading a block";
        let last = offset.saturating_add(length as u64).saturating_sub(1);
        let action = self.bucket.get_object(Some(&self.credentials), object);
        let request = self.request(Method::GET, &action).header(RANGE, format!("bytes={offset}-{last}"));
        let request = request.timeout(READ_WITHIN);
        let mut response = self.send(what, request).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
                if range.is_some_and(|range| !range.starts_with(&format!("bytes {offset}-"))) {
                    return Err(self.failed(what, "it has sent another part"));
                }
                let mut data = Vec::new();
                // Some stores send more than they are asked for.
                while data.len() < length
                    && let Some(chunk) = response.chunk().await.map_err(|error| self.failed(what, &describe(error)))?
                {
                    data.extend_from_slice(&chunk[..chunk.len().min(length - data.len())]);
                }
                Ok(data.into())
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Bytes::new()),
            StatusCode::NOT_FOUND => Err(self.failed(what, &format!("block {block} is not there"))),
            StatusCode::OK => Err(self.failed(what, "it does not send parts of objects")),
            _ => Err(self.refused(what, response).await),
        }
    }

    /// One page of a list.
    async fn page(&self, action: ListObjectsV2<'_>) -> Result<ListObjectsV2Response> {
        let what = "listing carves";
        let response = self.send(what, self.request(Method::GET, &action)).await?;
        if !response.status().is_success() {
            return Err(self.refused(what, response).await);
        }
        let text = read(response, MAX_TEXT).await.map_err(|error| self.failed(what, &error))?;
        let text = String::from_utf8(text).map_err(|error| self.failed(what, &error.to_string()))?;
        ListObjectsV2::parse_response(&text).map_err(|error| self.failed(what, &error.to_string()))
    }

    async fn remove_all(&self, prefix: &str) -> Result<()> {
        let what = "removing a carve";
        for _ in 0..MAX_PAGES {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(prefix);
            action.with_max_keys(PAGE);
            let objects: Vec<_> =
                self.page(action).await?.contents.into_iter().map(|object| ObjectIdentifier::new(object.key)).collect();
            if objects.is_empty() {
                return Ok(());
            }
            let mut action = self.bucket.delete_objects(Some(&self.credentials), objects.iter());
            action.set_quiet(true);
            let request = self.request(Method::POST, &action);
            let (body, md5) = action.body_with_md5();
            let request = request.header(HeaderName::from_static("content-md5"), md5);
            let response = self.send(what, request.header(CONTENT_LENGTH, body.len()).body(body)).await?;
            if !response.status().is_success() {
                return Err(self.refused(what, response).await);
            }
            let text = read(response, MAX_TEXT).await.map_err(|error| self.failed(what, &error))?;
            let done = DeleteObjectsResponse::parse(String::from_utf8_lossy(&text).as_ref())
                .map_err(|error| self.failed(what, &error.to_string()))?;
            if let Some(error) = done.errors.first() {
                return Err(self.failed(what, &error.code));
            }
        }
        Err(self.failed(what, "there are more blocks than a carve can have"))
    }

    async fn list_keys(&self, after: &str, limit: usize) -> Result<Vec<String>> {
        let (mut keys, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(self.prefix.as_str());
            action.with_delimiter("/");
            action.with_max_keys(PAGE);
            if !after.is_empty() {
                // Behind all blocks of this key: 0 comes after the slash.
                action.with_start_after(format!("{}{after}0", self.prefix));
            }
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let page = self.page(action).await?;
            let names = page.common_prefixes.iter().filter_map(|name| {
                name.prefix
                    .strip_prefix(self.prefix.as_str())?
                    .strip_suffix('/')
                    .filter(|name| is_key(name) && *name > after)
            });
            // Nothing else in the bucket is ours.
            keys.extend(names.map(str::to_owned));
            token = page.next_continuation_token;
            if token.is_none() || keys.len() >= limit {
                break;
            }
        }
        keys.truncate(limit);
        Ok(keys)
    }
}

impl CarveStorage for CarveBucket {
    fn check(&self) -> Storing<'_, ()> {
        Box::pin(async move { self.write_new(&format!("{}probe", self.prefix), Bytes::new()).await.map(drop) })
    }

    /// Nothing: objects need no folder.
    fn begin(&self, _key: &str) -> Storing<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn put(&self, key: &str, block: u64, data: Bytes) -> Storing<'_, Put> {
        let object = self.object(key, block);
        Box::pin(async move { self.put_block(&object?, data).await })
    }

    fn read(&self, key: &str, block: u64, offset: u64, length: usize) -> Storing<'_, Bytes> {
        let object = self.object(key, block);
        Box::pin(async move { self.read_block(&object?, block, offset, length).await })
    }

    fn remove(&self, key: &str) -> Storing<'_, ()> {
        // With the slash: no other key begins with it.
        let prefix = is_key(key).then(|| format!("{}{key}/", self.prefix));
        Box::pin(
            async move { self.remove_all(&prefix.ok_or_else(|| StorageError::new("not a key of contents"))?).await },
        )
    }

    fn keys(&self, after: &str, limit: usize) -> Storing<'_, Vec<String>> {
        let after = after.to_owned();
        Box::pin(async move { self.list_keys(&after, limit).await })
    }
}

/// At most so many bytes of an answer; an error if there are more.
async fn read(mut response: Response, most: usize) -> std::result::Result<Vec<u8>, String> {
    let mut data = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if data.len() + chunk.len() > most {
            return Err(format!("the answer has more than {most} bytes"));
        }
        data.extend_from_slice(&chunk);
    }
    Ok(data)
}

/// An error with its cause, without the URL and its signature.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[tokio::test]
    async fn what_fails_shows_neither_signature_nor_key() {
        let config = config::S3 {
            bucket: "carves".to_owned(),
            access_key_id: "key-of-tests".to_owned(),
            secret_access_key: Secret::new("only-for-tests"),
            // Nobody listens there.
            endpoint_url: "http://127.0.0.1:1".to_owned(),
            force_s3_path_style: true,
            ..config::S3::default()
        };
        let bucket = CarveBucket::new(&config).unwrap();
        let key = "0123456789abcdef0123456789abcdef";
        let error = bucket.put(key, 0, Bytes::from_static(b"x")).await.unwrap_err().to_string();
        assert!(error.starts_with("bucket carves: writing a block: "), "{error}");
        for text in [error, format!("{bucket:?}")] {
            assert!(!text.contains("X-Amz") && !text.contains("only-for-tests"), "{text}");
        }
        for wrong in ["..", "", "0123456789ABCDEF0123456789abcdef", "0123456789abcdef/123456789abcdef"] {
            assert!(bucket.put(wrong, 0, Bytes::new()).await.is_err(), "{wrong}");
            assert!(bucket.remove(wrong).await.is_err(), "{wrong}");
        }
    }
}
