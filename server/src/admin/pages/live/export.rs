//! The answers of a live query as files, and as they come.

use std::io;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderName, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, StreamExt as _, stream};

use super::csv::AnswerCsv;
use super::seats::Seat;
use crate::admin::AdminApi;
use crate::admin::live::{lines, session_end};
use crate::admin::pages::answer::{PageAnswer, PageFailed};
use crate::admin::pages::visit::{Glance, PageId, Visit};
use crate::admin::stream::{paced, paced_until};
use crate::fleet::Error;

/// Proxies that buffer must not.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers as they come, a JSON object a line, from the cursor on.
pub(in crate::admin::pages) async fn stream(api: Data<AdminApi>, Glance(visit): Glance, id: PageId) -> PageAnswer {
    let cursor = visit.look.parameter("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let by = &visit.principal;
    let begin = async || Ok((api.pages.followers.begin(by.user.id)?, api.fleet.live.follow(by, *id, cursor).await?));
    match begin().await {
        Ok((seat, follower)) => {
            let lines = lines(follower, true, api.lifecycle.clone());
            let end = session_end(api.fleet.clone(), visit.principal, Some(*id));
            let lines = while_allowed(lines, seat, end);
            Ok(head().streaming(paced(lines, api.answers.pace.clone())))
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

/// All answers that are there, a JSON object a line.
pub(in crate::admin::pages) async fn json_lines(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    let by = &visit.principal;
    let begin = async || Ok((api.lists.begin(by)?, api.fleet.live.follow(by, *id, 0).await?));
    match begin().await {
        Ok((guard, follower)) => {
            let lines = lines(follower, false, api.lifecycle.clone());
            // It counts among the lists of its reader until it ends.
            let lines = stream::unfold((Box::pin(lines), guard), |(mut lines, guard)| async move {
                lines.next().await.map(|line| (line, (lines, guard)))
            });
            let end = session_end(api.fleet.clone(), by.clone(), Some(*id));
            let file = format!("attachment; filename=\"Live query {id}.ndjson\"");
            let mut head = head();
            head.insert_header((CONTENT_DISPOSITION, file));
            Ok(head.streaming(paced_until(end, lines, api.answers.pace.clone())))
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

fn head() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/x-ndjson")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_ACCEL_BUFFERING, "no"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

/// The same lines, as long as their reader has the seat and a session that goes on, and may see the live query.
fn while_allowed(
    lines: impl Stream<Item = io::Result<Bytes>>,
    seat: Seat,
    end: impl Future<Output = Error>,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((Box::pin(lines), Box::pin(end), seat), |(mut lines, mut end, seat)| async move {
        tokio::select! {
            biased;
            error = &mut end => Err(io::Error::other(error)),
            () = seat.taken.cancelled() => Err(io::Error::other("another page follows instead")),
            line = lines.next() => Ok(line.transpose()?.map(|line| (line, (lines, end, seat)))),
        }
    })
}

/// All answers that are there as comma-separated values, a line for each row.
pub(in crate::admin::pages) async fn csv(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    let (fleet, by, id) = (api.fleet.clone(), visit.principal.clone(), *id);
    let file = Some(format!("Live query {id}.csv"));
    let begin = move || AnswerCsv::begin(fleet, by, id);
    let sent = api.lists.send_parts(&visit.principal, "text/csv; charset=utf-8", file, begin).await;
    sent.map_err(|failed| PageFailed::of(visit, failed.0))
}
