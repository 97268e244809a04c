//! Reads what a handler has left of a request's body before it is answered, so that the answer reaches a client that is
//! still sending: over HTTP/1 such a client finds a broken connection, over HTTP/2 a stream that was reset.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};

use crate::lifecycle::Lifecycle;

/// How much of a body is read and dropped, how long that may take, and how long nothing may come.
const MAX_BYTES: usize = 64 << 20;
const MAX_TIME: Duration = Duration::from_secs(4);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Chunks of a body that are dropped at once if they have come; more are read as if they came later.
const CHUNKS_HERE: usize = 4;

/// The body of a request, which the handler reads first.
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next_unpin(context)
    }
}

/// Calls a service and then reads what it has left of the body. A server that has to stop does not wait for that.
pub fn read_before_answer<S, B>(
    lifecycle: &Arc<Lifecycle>,
    mut request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<B>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    let payload = request.take_payload();
    let unread = (!matches!(payload, Payload::None)).then(|| {
        let payload = Rc::new(RefCell::new(payload));
        request.set_payload(Payload::Stream { payload: Box::pin(Shared(Rc::clone(&payload))) });
        (payload, Arc::clone(lifecycle))
    });
    let answered = service.call(request);
    async move {
        let outcome = answered.await;
        // Whoever still has the other end, such as a web socket, goes on reading.
        if let Some((payload, lifecycle)) = unread
            && let Some(payload) = Rc::into_inner(payload).map(RefCell::into_inner)
        {
            read_rest(&lifecycle, payload).await;
        }
        outcome
    }
}

/// Reads what is left of a body. A server that has to stop does not wait for that.
pub async fn read_rest(lifecycle: &Lifecycle, payload: Payload) {
    if let Some(rest) = drop_what_is_here(payload) {
        tokio::select! {
            _ = tokio::time::timeout(MAX_TIME, drop_rest(rest)) => {}
            () = lifecycle.hurried() => {}
        }
    }
}

/// Drops the bytes that have come. Returns the body if more of it is to come.
fn drop_what_is_here(mut payload: Payload) -> Option<Payload> {
    for _ in 0..CHUNKS_HERE {
        match payload.next().now_or_never() {
            None => return Some(payload),
            Some(Some(Ok(_))) => {}
            Some(Some(Err(_)) | None) => return None,
        }
    }
    Some(payload)
}

async fn drop_rest(mut payload: Payload) {
    let mut dropped = 0;
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(MAX_PAUSE, payload.next()).await {
        dropped += chunk.len();
        if dropped > MAX_BYTES {
            return;
        }
    }
}
