use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Json;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use super::auth::Caller;

/// The JSON body of a request. It is read only after the caller is known: the bodies of strangers are not read.
pub(super) struct JsonBody<T>(T);

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

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            Caller::from_request(&request, &mut payload).await?;
            Ok(Self(Json::<T>::from_request(&request, &mut payload).await?.into_inner()))
        })
    }
}
