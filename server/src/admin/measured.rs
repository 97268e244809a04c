//! Counts the requests of each operation, and measures their time and size.

use std::cell::OnceCell;
use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage as _, Route};

use super::AdminApi;
use crate::telemetry::HandlerMetrics;

/// The bytes of a request's body that were read, kept with the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct BytesRead(pub u64);

/// A route whose requests are counted under this name, the first of them makes it known.
pub(super) fn measured(route: Route, name: String) -> Route {
    let metrics: Rc<OnceCell<HandlerMetrics>> = Rc::default();
    let name: Rc<str> = name.into();
    route.wrap(from_fn(move |request: ServiceRequest, next: Next<BoxBody>| {
        let metrics = request.app_data::<Data<AdminApi>>().map(|api| {
            let known = metrics.get_or_init(|| api.metrics.handler(&name));
            known.clone()
        });
        measure(metrics, request, next)
    }))
}

async fn measure(
    metrics: Option<HandlerMetrics>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let start = Instant::now();
    let response = next.call(request).await?;
    let Some(metrics) = metrics else { return Ok(response) };
    let received = response.request().extensions().get::<BytesRead>().map_or(0, |read| read.0);
    metrics.answered(response.status().as_str(), start.elapsed(), received);
    Ok(response.map_body(|_, body| match body.size() {
        BodySize::None => {
            metrics.sent(0);
            body
        }
        BodySize::Sized(bytes) => {
            metrics.sent(bytes);
            body
        }
        BodySize::Stream => BoxBody::new(CountedBody { body, bytes: 0, metrics }),
    }))
}

/// A body of unknown size, whose bytes are counted while it is sent.
struct CountedBody {
    body: BoxBody,
    bytes: u64,
    metrics: HandlerMetrics,
}

impl MessageBody for CountedBody {
    type Error = Box<dyn StdError>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes += bytes.len() as u64;
        }
        polled
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.metrics.sent(self.bytes);
    }
}
