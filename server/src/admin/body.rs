use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::JsonPayloadError;
use actix_web::web::Json;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::auth::Caller;
use super::error::bad_json;

/// The JSON body of a request. It is read only after the caller is known: the bodies of strangers are not read.
pub(super) struct JsonBody<T>(T);

/// The JSON body of a request that needs no session.
pub(super) struct OpenBody<T>(T);

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

impl<T> Deref for OpenBody<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            Caller::from_request(&request, &mut payload).await?;
            Ok(Self(read(&request, &mut payload).await?))
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for OpenBody<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(read(&request, &mut payload).await?)) })
    }
}

async fn read<T: DeserializeOwned>(request: &HttpRequest, payload: &mut Payload) -> Result<T, actix_web::Error> {
    let is_json = match request.mime_type() {
        Ok(None) => true,
        Ok(Some(mime)) => mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json"),
        Err(_) => false,
    };
    if !is_json {
        return Err(bad_json(JsonPayloadError::ContentType, request));
    }
    let text = Json::<Box<RawValue>>::from_request(request, payload).await?.into_inner();
    parse(text.get()).map_err(|error| bad_json(JsonPayloadError::Deserialize(error), request))
}

/// Reads a body whose keys are in any case, because Fleet is written in Go, for which case does not matter, and so are its
/// clients. That holds for the keys of the body itself; what is inside may be an operator's.
fn parse<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|error| {
        let Ok(body) = serde_json::from_str::<Map<String, Value>>(text) else { return Err(error) };
        let lower = body.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        // The first error names the place in what was sent.
        serde_json::from_value(Value::Object(lower)).map_err(|_| error)
    })
}

#[cfg(test)]
mod tests {
    use muster_api::rest::Login;

    use super::*;

    #[test]
    fn keys_are_read_in_any_case() {
        for text in [
            r#"{"email":"a@b.c","password":"P"}"#,
            r#"{"Username":"a@b.c","Password":"P"}"#,
            r#"{"EMAIL":"a@b.c","passWord":"P"}"#,
        ] {
            let login: Login = parse(text).unwrap();
            assert_eq!((login.email.as_str(), login.password.as_str()), ("a@b.c", "P"), "{text}");
        }
        let error = parse::<Login>(r#"{"Email":"a@b.c","Pasword":"P"}"#).unwrap_err();
        assert!(error.to_string().starts_with("unknown field `Email`"), "{error}");
    }
}
