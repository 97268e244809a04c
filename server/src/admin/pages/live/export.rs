//! The answers of a live query as files, and as they come.

use std::io;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderName, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval};

use super::csv::AnswerCsv;
use super::seats::Seat;
use crate::admin::AdminApi;
use crate::admin::live::lines;
use crate::admin::pages::answer::{PageAnswer, PageFailed};
use crate::admin::pages::visit::{Glance, PageId, Visit};
use crate::admin::stream::paced;
use crate::fleet::access::Principal;
use crate::fleet::{Fleet, Result};

/// How long a stream may outlive the session of its reader.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

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
            let lines = while_allowed(lines, seat, api.fleet.clone(), visit.principal, *id);
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
            let file = format!("attachment; filename=\"Live query {id}.ndjson\"");
            let mut head = head();
            head.insert_header((CONTENT_DISPOSITION, file));
            Ok(head.streaming(paced(lines, api.answers.pace.clone())))
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
    fleet: Fleet,
    by: Principal,
    id: i64,
) -> impl Stream<Item = io::Result<Bytes>> {
    let mut look_again = interval(LOOK_AGAIN);
    look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = (Box::pin(lines), look_again, seat, fleet, by);
    stream::try_unfold(begun, move |(mut lines, mut look_again, seat, fleet, by)| async move {
        loop {
            tokio::select! {
                line = lines.next() => {
                    return Ok(line.transpose()?.map(|line| (line, (lines, look_again, seat, fleet, by))));
                }
                _ = look_again.tick() => is_allowed(&fleet, &by, id).await.map_err(io::Error::other)?,
                () = seat.taken.cancelled() => return Err(io::Error::other("another page follows instead")),
            }
        }
    })
}

async fn is_allowed(fleet: &Fleet, by: &Principal, id: i64) -> Result<()> {
    let by = fleet.access.again(by).await?;
    fleet.live.job(&by, id).await.map(drop)
}

/// All answers that are there as comma-separated values, a line for each row.
pub(in crate::admin::pages) async fn csv(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    let (fleet, by, id) = (api.fleet.clone(), visit.principal.clone(), *id);
    let file = Some(format!("Live query {id}.csv"));
    let begin = move || AnswerCsv::begin(fleet, by, id);
    let sent = api.lists.send_parts(&visit.principal, "text/csv; charset=utf-8", file, begin).await;
    sent.map_err(|failed| PageFailed::of(visit, failed.0))
}
