//! A fault in one request is one failed request, with a body that agents and operators both take for a refusal.

use std::panic::AssertUnwindSafe;

use actix_web::Error;
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use futures_util::FutureExt as _;
use muster_api::rest::{ErrorBody, FieldError};

/// Answers a request whose handler panics.
pub fn caught<S>(
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let path = request.path().to_owned();
    let work = AssertUnwindSafe(service.call(request)).catch_unwind();
    async move {
        match work.await {
            Ok(outcome) => outcome,
            Err(_panic) => {
                tracing::error!(path, "a request ran into a fault of the server");
                let reason = "internal error; the server's log says more".to_owned();
                let error = FieldError { name: "base".to_owned(), reason };
                let response = HttpResponse::InternalServerError().json(ErrorBody::new("Unknown Error", vec![error]));
                Err(InternalError::from_response("a handler has panicked", response).into())
            }
        }
    }
}
