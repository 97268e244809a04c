//! Gives requests of operators an id, which stands in their log lines and in the answer: that of the header `X-Request-Id`, or a
//! new one.

use std::sync::Arc;
use std::time::Instant;

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::under_way::{Ongoing, WorkKind, new_request_id};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over, in bytes.
const MAX_ID: usize = 64;

/// Calls a service for a request that shows as under way; those below `debug_path` as such. An id that is too long or has other
/// bytes than visible ASCII is replaced.
pub fn with_id<S>(
    debug_path: &Arc<str>,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let kind = if request.path().starts_with(&**debug_path) { WorkKind::Debug } else { WorkKind::Operator };
    let id = given_id(request.headers()).unwrap_or_else(new_request_id);
    // Not the query, which may hold what is secret.
    let name = format!("{} {}", request.method(), request.path());
    let under_way = Ongoing::with_id(kind, name, &id, Instant::now());
    let work = {
        let _entered = under_way.enter();
        service.call(request)
    };
    async move {
        let outcome = under_way.run(work).await;
        // Both kinds of ids are values of headers.
        let Ok(id) = HeaderValue::try_from(id) else { return outcome };
        match outcome {
            Ok(mut response) => {
                response.headers_mut().insert(HEADER, id);
                Ok(response)
            }
            Err(error) => {
                let mut response = error.error_response();
                response.headers_mut().insert(HEADER, id);
                Err(InternalError::from_response(error, response).into())
            }
        }
    }
}

fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(&HEADER)?.as_bytes();
    let is_sane = (1..=MAX_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    is_sane.then(|| String::from_utf8_lossy(id).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_and_visible_ids_are_taken_over() {
        let given = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(id).unwrap());
            given_id(&headers)
        };
        assert_eq!(given(b"0af7651916cd43dd/span=1").as_deref(), Some("0af7651916cd43dd/span=1"));
        assert_eq!(given(&[b'a'; MAX_ID]).map(|id| id.len()), Some(MAX_ID));
        for id in [&[b'a'; MAX_ID + 1][..], b"", b"two words", b"\xc3\xa4", b"tab\tbed"] {
            assert_eq!(given(id), None, "{}", String::from_utf8_lossy(id));
        }
        assert_eq!(given_id(&HeaderMap::new()), None);
    }
}
