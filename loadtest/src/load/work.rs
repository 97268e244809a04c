//! Questions of the server and what hosts answer.

use std::{collections::HashMap, io::Write as _, rc::Rc};

use serde_json::Value;

use super::{
    given::ServedConfig,
    schedule_rows,
    template::{MARKERS, Names, Rows, Template, find, push_text},
};
use agent_compat::agent::chance::{below, hash_text, mix};

/// Distinct answers to reads that are kept.
const MAX_KEPT: usize = 4096;

/// Kind of a distributed query, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestKind {
    Label,
    Live,
    Statistics,
    About,
}

#[derive(Debug)]
struct Question {
    /// As a JSON string.
    id: Box<[u8]>,
    sql: Box<str>,
    kind: RequestKind,
    hash: u64,
}

/// The questions of one answer to a read.
#[derive(Debug)]
pub(super) struct Work {
    questions: Vec<Question>,
    /// Markers of platforms in the questions.
    markers: Vec<&'static str>,
    names: Vec<String>,
    pub accelerate_s: u64,
}

impl Work {
    fn read(value: &Value) -> Option<Self> {
        let queries = match value.get("queries") {
            None => {
                return Some(Self { questions: Vec::new(), markers: Vec::new(), names: Vec::new(), accelerate_s: 0 });
            }
            Some(queries) => queries.as_object()?,
        };
        let mut questions = Vec::new();
        let mut markers = Vec::new();
        for (id, sql) in queries {
            let sql = sql.as_str().filter(|sql| !sql.is_empty())?;
            markers.extend(
                MARKERS
                    .iter()
                    .map(|(marker, _)| *marker)
                    .filter(|marker| find(sql.as_bytes(), marker.as_bytes()).is_some()),
            );
            let kind = if id.starts_with("fleet_label_query_") {
                RequestKind::Label
            } else if id.starts_with("fleet_distributed_query_") {
                RequestKind::Live
            } else if sql.contains("osquery_schedule") {
                RequestKind::Statistics
            } else {
                RequestKind::About
            };
            let mut text = Vec::new();
            push_text(&mut text, id);
            questions.push(Question { id: text.into(), sql: sql.into(), kind, hash: hash_text(sql) });
        }
        Some(Self {
            questions,
            markers,
            names: queries.keys().cloned().collect(),
            accelerate_s: value.get("accelerate").and_then(Value::as_u64).unwrap_or(0),
        })
    }

    /// Whether there is a live query among them.
    pub fn is_live(&self) -> bool {
        self.questions.iter().any(|question| question.kind == RequestKind::Live)
    }

    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Why hosts of this kind should not have been asked this; `None` if they should.
    pub fn misfit(&self, template: &Template) -> Option<String> {
        if let Some(marker) = self.markers.iter().find(|marker| !template.markers.contains(marker)) {
            return Some(format!("a {} host was asked what is meant for {marker}", template.word));
        }
        let foreign = if template.word == "windows" { "_unix" } else { "_windows" };
        let name = self.names.iter().find(|name| name.starts_with("fleet_detail_query_") && name.ends_with(foreign))?;
        Some(format!("a {} host was asked {name}", template.word))
    }
}

/// All distinct answers to reads.
#[derive(Default)]
pub(super) struct Works {
    known: HashMap<Box<[u8]>, Rc<Work>>,
}

impl Works {
    /// The questions of this body, whose value is read only if it is new. `None` if an agent could not use it.
    pub fn of(&mut self, body: &[u8]) -> Option<Rc<Work>> {
        if let Some(known) = self.known.get(body) {
            return Some(Rc::clone(known));
        }
        let work = Rc::new(Work::read(&serde_json::from_slice(body).ok()?)?);
        if self.known.len() >= MAX_KEPT {
            self.known.clear();
        }
        self.known.insert(body.into(), Rc::clone(&work));
        Some(work)
    }

    pub fn known(&self, body: &[u8]) -> bool {
        self.known.contains_key(body)
    }
}

/// Settings that decide how hosts answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub seed: u64,
    pub label_flips: f64,
    pub query_fails: f64,
    pub query_empty: f64,
    pub live_bytes: usize,
}

/// The host that answers, and when.
pub(super) struct Answerer<'a> {
    pub names: &'a Names,
    pub number: u32,
    pub given: Option<&'a ServedConfig>,
    pub started_s: u64,
    pub now_ms: u64,
}

/// Writes the body of `distributed/write`.
pub(super) fn write_body(
    out: &mut Vec<u8>,
    work: &Work,
    template: &mut Template,
    host: &Answerer<'_>,
    manner: &Manner,
    node_key: &str,
) {
    let chance = mix(mix(manner.seed, u64::from(host.number)), host.now_ms);
    let mut failed: Vec<Option<String>> = Vec::with_capacity(work.questions.len());
    out.extend_from_slice(b"{\"queries\":{");
    for (at, question) in work.questions.iter().enumerate() {
        comma(out, at);
        out.extend_from_slice(&question.id);
        out.push(b':');
        let chance = mix(chance, question.hash);
        let message = match question.kind {
            RequestKind::Live => live(out, chance, host, manner),
            RequestKind::Statistics => {
                schedule_rows::put(out, host, &template.version);
                None
            }
            RequestKind::Label | RequestKind::About => about(out, question, template, host, chance, manner),
        };
        failed.push(message);
    }
    out.extend_from_slice(b"},\"statuses\":{");
    for (at, (question, failed)) in work.questions.iter().zip(&failed).enumerate() {
        comma(out, at);
        out.extend_from_slice(&question.id);
        out.extend_from_slice(if failed.is_some() { b":1" } else { b":0" });
    }
    out.extend_from_slice(b"},\"messages\":{");
    for (at, (question, failed)) in work.questions.iter().zip(&failed).enumerate() {
        comma(out, at);
        out.extend_from_slice(&question.id);
        out.push(b':');
        push_text(out, failed.as_deref().unwrap_or_default());
    }
    out.extend_from_slice(b"},\"stats\":{");
    for (at, question) in work.questions.iter().enumerate() {
        comma(out, at);
        out.extend_from_slice(&question.id);
        let cost = below(chance, question.hash, 30);
        // Writing to memory has no way to fail, here and below.
        let _ = write!(
            out,
            ":{{\"wall_time_ms\":{cost},\"user_time\":{cost},\"system_time\":0,\"memory\":{}}}",
            cost * 4096
        );
    }
    let _ = write!(out, "}},\"node_key\":\"{node_key}\"}}");
}

pub(super) fn comma(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

/// Whether something with this probability happens.
pub(super) fn happens(chance: u64, salt: u64, share: f64) -> bool {
    share > 0.0 && (below(chance, salt, 1_000_000) as f64) < share * 1e6
}

fn about(
    out: &mut Vec<u8>,
    question: &Question,
    template: &mut Template,
    host: &Answerer<'_>,
    chance: u64,
    manner: &Manner,
) -> Option<String> {
    match &*template.answer(&question.sql, host.now_ms) {
        Rows::Failed(message) => {
            out.extend_from_slice(b"[]");
            Some(message.clone())
        }
        Rows::Fine { empty, .. } if question.kind == RequestKind::Label && happens(chance, 1, manner.label_flips) => {
            out.extend_from_slice(if *empty { b"[{\"1\":\"1\"}]" } else { b"[]" });
            None
        }
        Rows::Fine { json, .. } => {
            json.fill(out, host.names);
            None
        }
    }
}

fn live(out: &mut Vec<u8>, chance: u64, host: &Answerer<'_>, manner: &Manner) -> Option<String> {
    if happens(chance, 2, manner.query_fails) {
        out.extend_from_slice(b"[]");
        return Some("no such table: load".to_owned());
    }
    out.push(b'[');
    if !happens(chance, 3, manner.query_empty) {
        let start = out.len();
        for row in 0.. {
            comma(out, row);
            let value = mix(chance, row as u64);
            let _ = write!(
                out,
                r#"{{"host":"{}","row":"{row}","path":"/usr/lib/load/{value:016x}","value":"{value}"}}"#,
                host.names.hostname
            );
            if out.len() - start >= manner.live_bytes {
                break;
            }
        }
    }
    out.push(b']');
    None
}
