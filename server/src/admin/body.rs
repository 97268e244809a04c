use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::Future;
use std::ops::{Deref, Range};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::JsonPayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{BytesMut, Data};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::value::RawValue;

use super::AdminApi;
use super::auth::Caller;
use super::error::{Failed, bad_json};
use super::measured::BytesRead;
use super::origin::is_foreign;
use crate::fleet::Error;

/// Most bytes of a body that anybody may send.
const MAX_OPEN_BODY: usize = 16 * 1024;

/// The JSON body of a request. It is read only after the caller is known: the bodies of strangers are not read. A large one
/// is parsed away from the threads that answer agents.
pub(super) struct JsonBody<T>(T);

/// The JSON body of a request that needs no session, of 16 KiB at most.
pub(super) struct OpenBody<T>(pub(super) T);

impl<T> JsonBody<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for JsonBody<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest for JsonBody<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            Caller::from_request(&request, &mut payload).await?;
            // The caller was found with it.
            let api = request.app_data::<Data<AdminApi>>().ok_or(Failed(Error::Unauthenticated))?;
            let body = receive(&request, payload, api.max_body).await.map_err(bad_json)?;
            let read = api.work.read_body(body.len(), move || read(&body)).await.map_err(Failed)?;
            Ok(Self(read.map_err(bad_json)?))
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for OpenBody<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            // Nothing else would refuse the body without a type that a page of another site sends.
            if is_foreign(&request) {
                return Err(Failed(Error::Forbidden).into());
            }
            let body = receive(&request, payload, MAX_OPEN_BODY).await.map_err(bad_json)?;
            Ok(Self(read(&body).map_err(bad_json)?))
        })
    }
}

/// The whole body. One without a type is taken for JSON, as Fleet does. A page of another origin could send one, but not the
/// token of a user: there are no cookies.
async fn receive(request: &HttpRequest, mut payload: Payload, limit: usize) -> Result<BytesMut, JsonPayloadError> {
    let is_json = match request.mime_type() {
        Ok(None) => true,
        Ok(Some(mime)) => mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json"),
        Err(_) => false,
    };
    if !is_json {
        return Err(JsonPayloadError::ContentType);
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if let Some(length) = length.filter(|length| *length > limit) {
        return Err(JsonPayloadError::OverflowKnownLength { length, limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(JsonPayloadError::Payload)?;
        if body.len() + chunk.len() > limit {
            return Err(JsonPayloadError::Overflow { limit });
        }
        body.extend_from_slice(&chunk);
        request.extensions_mut().insert(BytesRead(body.len() as u64));
    }
    Ok(body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonPayloadError> {
    let text: &RawValue = serde_json::from_slice(body).map_err(JsonPayloadError::Deserialize)?;
    parse(text.get()).map_err(JsonPayloadError::Deserialize)
}

/// Reads a body whose keys are in any case, because Fleet is written in Go, for which case does not matter, and so are its
/// clients. That holds for the keys of the body itself; what is inside may be an operator's.
fn parse<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let keys = own_keys(text.as_bytes());
    let mut seen = BTreeSet::new();
    for key in keys.iter().filter_map(|range| text.get(range.clone())) {
        if !seen.insert(key.to_ascii_lowercase()) {
            return Err(serde_json::Error::custom(format!(
                "the key {key} is there twice, in any case; keep one of them"
            )));
        }
    }
    serde_json::from_str(&with_lower(text, &keys))
}

/// The text with these parts of it in lower case. Every byte stays in its place, so errors name the place in what was sent.
fn with_lower<'t>(text: &'t str, parts: &[Range<usize>]) -> Cow<'t, str> {
    let has_capital = |part: &&Range<usize>| text.as_bytes()[(*part).clone()].iter().any(u8::is_ascii_uppercase);
    let mut text = Cow::Borrowed(text);
    for part in parts.iter().filter(has_capital) {
        if let Some(key) = text.to_mut().get_mut(part.clone()) {
            key.make_ascii_lowercase();
        }
    }
    text
}

/// Where the keys of the outermost object stand, with their quotes. `text` is valid JSON.
fn own_keys(text: &[u8]) -> Vec<Range<usize>> {
    let mut keys = Vec::new();
    let (mut position, mut depth, mut is_key) = (0, 0, false);
    // Else the commas of a list would be taken for those of an object.
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return keys;
    }
    while let Some(byte) = text.get(position) {
        let begin = position;
        position += 1;
        match byte {
            b'"' => {
                position += string_length(&text[position..]);
                if is_key {
                    keys.push(begin..position);
                }
                is_key = false;
            }
            b'{' | b'[' => {
                depth += 1;
                is_key = depth == 1;
            }
            b'}' | b']' => depth -= 1,
            b',' => is_key = depth == 1,
            _ => {}
        }
    }
    keys
}

/// Bytes up to the end of a string, the quote included.
fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use muster_api::rest::{Login, TargetSearch};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn keys_are_read_in_any_case() {
        for text in [
            r#"{"email":"a@b.c","password":"P"}"#,
            r#"{"Username":"a@b.c","Password":"P"}"#,
            r#" {"EMAIL":"a@b.c" , "passWord":"P"}"#,
        ] {
            let login: Login = parse(text).unwrap();
            assert_eq!((login.email.as_str(), login.password.as_str()), ("a@b.c", "P"), "{text}");
        }
        let search: TargetSearch = parse(r#"{"Query":"x"}"#).unwrap();
        assert_eq!(search.query.as_deref(), Some("x"), "also keys that need not be there");
    }

    #[test]
    fn keys_inside_and_texts_stay_as_they_are() {
        let text = r#"{"A\"B":{"C":["D",{"E":"F,\"G\""}]},"h":"I","J":"{\"K\":1}"}"#;
        let expected = json!({ "a\"b": { "C": ["D", { "E": "F,\"G\"" }] }, "h": "I", "j": "{\"K\":1}" });
        assert_eq!(parse::<Value>(text).unwrap(), expected);
        for text in [r#"["A","B"]"#, r#""A""#, "7", r#"[{"A":1},{"A":2}]"#] {
            assert_eq!(parse::<Value>(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn an_error_names_what_is_wrong_and_where() {
        let error = parse::<Login>(r#"{"Email":"a@b.c","Pasword":"P"}"#).unwrap_err();
        assert!(error.to_string().starts_with("unknown field `pasword`"), "{error}");
        assert_eq!(error.column(), 26);
        for text in [r#"{"email":"a","Email":"b","password":"P"}"#, r#"{"email":"a","email":"b"}"#] {
            let error = parse::<Login>(text).unwrap_err();
            assert!(error.to_string().contains("is there twice"), "{error}");
        }
        assert!(parse::<Login>(r#"{"email":"a","Username":"b","password":"P"}"#).is_err());
    }
}
