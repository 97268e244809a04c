//! The answers of a live query as files, and as they come.
//!
//! A file is read and sent some answers at a time: what a reader costs is a piece of about a MiB, however many answers there
//! are. Comma-separated values need their columns first, so the answers are read twice.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderName};
use actix_web::web::{Bytes, Data, Path};
use muster_api::rest::LiveAnswer;
use serde_json::Value;

use crate::admin::AdminApi;
use crate::admin::lists::{TextParts, add_cell};
use crate::admin::live::lines;
use crate::admin::pages::answer::{PageAnswer, PageFailed};
use crate::admin::pages::visit::Visit;
use crate::fleet::live::{Follower, ResultLine, show_line};
use crate::fleet::{Error, Result};

/// Most columns of a file.
const MAX_COLUMNS: usize = 1_000;

/// Columns before those that hosts send.
const OWN: [&str; 3] = ["host_id", "hostname", "error"];

/// Proxies that buffer must not.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers as they come, a JSON object a line, from the cursor on.
pub(in crate::admin::pages) async fn stream(api: Data<AdminApi>, visit: Visit, id: Path<i64>) -> PageAnswer {
    let cursor = visit.look.parameter("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    send_lines(&api, visit, *id, cursor, true).await
}

/// All answers that are there, a JSON object a line.
pub(in crate::admin::pages) async fn json_lines(api: Data<AdminApi>, visit: Visit, id: Path<i64>) -> PageAnswer {
    send_lines(&api, visit, *id, 0, false).await
}

async fn send_lines(api: &AdminApi, visit: Visit, id: i64, cursor: u64, is_following: bool) -> PageAnswer {
    let follower = api.fleet.live.follow(&visit.principal, id, cursor).await;
    let follower = follower.map_err(|error| PageFailed::of(visit, error))?;
    let mut response = HttpResponse::Ok();
    response.content_type("application/x-ndjson").insert_header((CACHE_CONTROL, "no-store"));
    response.insert_header((X_ACCEL_BUFFERING, "no"));
    if !is_following {
        let file = format!("attachment; filename=\"Live query {id}.ndjson\"");
        response.insert_header((CONTENT_DISPOSITION, file));
    }
    Ok(response.streaming(lines(follower, is_following, api.lifecycle.clone())))
}

/// All answers that are there as comma-separated values, a line for each row.
pub(in crate::admin::pages) async fn csv(api: Data<AdminApi>, visit: Visit, id: Path<i64>) -> PageAnswer {
    let (fleet, by, id) = (api.fleet.clone(), visit.principal.clone(), *id);
    let begin = move || async move {
        let columns = columns(fleet.live.follow(&by, id, 0).await?).await?;
        let follower = fleet.live.follow(&by, id, 0).await?;
        Ok(AnswerCsv { follower, columns, has_begun: false, is_finished: false })
    };
    let file = Some(format!("Live query {id}.csv"));
    let sent = api.lists.send_parts(&visit.principal, "text/csv; charset=utf-8", file, begin).await;
    sent.map_err(|failed| PageFailed::of(visit, failed.0))
}

/// The columns that hosts have sent, in the order in which they came.
async fn columns(mut follower: Follower) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    loop {
        let lines = follower.read().await?;
        if lines.is_empty() {
            return Ok(columns);
        }
        for answer in lines.iter().filter_map(read) {
            for row in answer.rows.iter().filter_map(Value::as_object) {
                for column in row.keys() {
                    if columns.contains(column) {
                        continue;
                    }
                    if columns.len() == MAX_COLUMNS {
                        let reason =
                            format!("the answers have more than {MAX_COLUMNS} columns; export JSON lines instead");
                        return Err(Error::invalid("columns", reason));
                    }
                    columns.push(column.clone());
                }
            }
        }
    }
}

fn read(line: &ResultLine) -> Option<LiveAnswer> {
    serde_json::from_slice(&show_line(line)).ok()
}

/// Answers as comma-separated values.
struct AnswerCsv {
    follower: Follower,
    columns: Vec<String>,
    has_begun: bool,
    is_finished: bool,
}

impl TextParts for AnswerCsv {
    fn is_finished(&self) -> bool {
        self.is_finished
    }

    async fn next(&mut self) -> Result<Bytes> {
        let mut text = String::new();
        if !self.has_begun {
            self.has_begun = true;
            line(OWN.into_iter().chain(self.columns.iter().map(String::as_str)), &mut text);
        }
        let lines = self.follower.read().await?;
        self.is_finished = lines.is_empty();
        for answer in lines.iter().filter_map(read) {
            let (id, error) = (answer.host_id.to_string(), answer.error.as_deref().unwrap_or_default());
            let own = [id.as_str(), &answer.hostname, error];
            if answer.rows.is_empty() && !error.is_empty() {
                line(own.into_iter().chain(self.columns.iter().map(|_| "")), &mut text);
            }
            for row in &answer.rows {
                let cells: Vec<String> = self.columns.iter().map(|column| cell(row.get(column))).collect();
                line(own.into_iter().chain(cells.iter().map(String::as_str)), &mut text);
            }
        }
        Ok(text.into())
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, text: &mut String) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            text.push(',');
        }
        add_cell(cell, text);
    }
    text.push_str("\r\n");
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
