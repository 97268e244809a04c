//! The server's own log: which lines are written, the latest of them, and warnings and errors in groups.

use std::time::Duration;

use actix_web::web::{self, Bytes, Data, Query};
use actix_web::{HttpResponse, Route};
use muster_api::rest::debug::{ChangeLogLevel, LatestLogs, LogLevelNow, LoggedCause, LoggedErrors, LoggedLine};
use serde::Deserialize;

use super::DebugApi;
use super::caller::DebugCaller;
use super::refusal::{DebugAnswer, DebugRefusal};
use crate::fleet::Error;
use crate::telemetry::{ErrorGroup, LogLevel, LogLine, error_groups, latest_lines, log_level};

pub(super) fn errors() -> Route {
    web::get().to(list_errors)
}

pub(super) fn latest() -> Route {
    web::get().to(list_lines)
}

pub(super) fn level() -> Route {
    web::get().to(get_level)
}

pub(super) fn change_level() -> Route {
    web::put().to(put_level)
}

#[derive(Debug, Deserialize)]
struct ErrorsAsked {
    #[serde(default)]
    flush: bool,
}

async fn list_errors(_: DebugCaller, asked: Query<ErrorsAsked>) -> DebugAnswer {
    let shown = |group: ErrorGroup| LoggedErrors {
        count: group.count,
        first_seen: group.first_seen.to_utc(),
        last_seen: group.last_seen.to_utc(),
        level: group.level.to_string(),
        target: group.target,
        chain: group.chain.into_iter().map(|message| LoggedCause { message }).collect(),
    };
    Ok(HttpResponse::Ok().json(error_groups(asked.flush).into_iter().map(shown).collect::<Vec<_>>()))
}

async fn list_lines(_: DebugCaller) -> DebugAnswer {
    let shown = |line: LogLine| LoggedLine {
        at: line.at.to_utc(),
        level: line.level.to_string(),
        target: line.target.to_owned(),
        line: line.text,
    };
    Ok(HttpResponse::Ok().json(LatestLogs { lines: latest_lines().into_iter().map(shown).collect() }))
}

async fn get_level(_: DebugCaller) -> DebugAnswer {
    Ok(HttpResponse::Ok().json(level_now(known_level()?)))
}

async fn put_level(caller: DebugCaller, api: Data<DebugApi>, body: Bytes) -> DebugAnswer {
    if caller.is_remembered {
        return Err(Error::Unavailable("the database does not answer, so nobody may change anything".to_owned()).into());
    }
    let change: ChangeLogLevel =
        serde_json::from_slice(&body).map_err(|error| DebugRefusal::BadParameter(format!("the body: {error}")))?;
    let level = known_level()?;
    let time = Duration::from_secs(change.for_seconds);
    level.change(&change.filter, time, api.fleet.clock.now()).map_err(DebugRefusal::BadParameter)?;
    tracing::info!(filter = change.filter, seconds = change.for_seconds, "the log level is another one for a time");
    Ok(HttpResponse::Ok().json(level_now(level)))
}

fn known_level() -> Result<&'static LogLevel, DebugRefusal> {
    log_level().ok_or_else(|| DebugRefusal::NotHere("this process does not log by itself".to_owned()))
}

fn level_now(level: &LogLevel) -> LogLevelNow {
    let configured = level.configured().to_owned();
    match level.changed() {
        Some(changed) => LogLevelNow { filter: changed.filter, configured, until: Some(changed.until.to_utc()) },
        None => LogLevelNow { filter: configured.clone(), configured, until: None },
    }
}
