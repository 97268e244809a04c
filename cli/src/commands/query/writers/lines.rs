use anyhow::Context as _;
use muster_api::rest::LiveAnswer;
use serde::Serialize;
use serde_json::Value;

use super::{AnswerWriter, Emit, HOST_COLUMN};
use crate::commands::query::tally::error;

/// Prints one JSON object per line.
pub struct NdjsonWriter;

/// Prints the same objects as one JSON array.
#[derive(Default)]
pub struct JsonWriter {
    is_begun: bool,
}

#[derive(Serialize)]
struct AnswerLine<'a> {
    host: &'a str,
    rows: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_sent: Option<u64>,
}

impl AnswerWriter for NdjsonWriter {
    fn answer(&mut self, answer: LiveAnswer, emit: Emit<'_>) -> anyhow::Result<()> {
        let mut text = object(answer)?;
        text.push('\n');
        emit(&text)
    }

    fn finish(&mut self, _emit: Emit<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

impl AnswerWriter for JsonWriter {
    fn answer(&mut self, answer: LiveAnswer, emit: Emit<'_>) -> anyhow::Result<()> {
        let text = object(answer)?;
        emit(if self.is_begun { ",\n" } else { "[" })?;
        self.is_begun = true;
        emit(&text)
    }

    fn finish(&mut self, emit: Emit<'_>) -> anyhow::Result<()> {
        emit(if self.is_begun { "]\n" } else { "[]\n" })
    }
}

fn object(mut answer: LiveAnswer) -> anyhow::Result<String> {
    for row in answer.rows.iter_mut().filter_map(Value::as_object_mut) {
        row.insert(HOST_COLUMN.to_owned(), answer.hostname.clone().into());
    }
    let object = AnswerLine {
        host: &answer.hostname,
        rows: &answer.rows,
        error: error(&answer),
        truncated: answer.truncated,
        rows_sent: answer.rows_sent,
    };
    serde_json::to_string(&object).context("cannot print the response")
}
