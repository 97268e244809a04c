use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Name, sql_of};
use crate::fleet::schedule::Plan;
use crate::lock::lock;

/// Most texts kept: a fleet has one for each platform and kind of question, and hosts that lost an answer are asked alone.
const KEPT: usize = 32;

/// The answers that put questions to hosts. Hosts of one platform are mostly asked the same, so texts are kept.
#[derive(Debug, Default)]
pub(super) struct QuestionTexts(Mutex<VecDeque<QuestionText>>);

#[derive(Debug)]
struct QuestionText {
    generation: i64,
    names: Vec<Name>,
    count: usize,
    text: Bytes,
}

impl QuestionTexts {
    /// The answer that asks these questions, and how many of them there are; labels that are gone are left out.
    pub(super) fn of(&self, names: &[Name], plan: &Plan) -> (Bytes, usize) {
        let is_it = |known: &QuestionText| known.generation == plan.generation && known.names == names;
        if let Some(known) = lock(&self.0).iter().find(|known| is_it(known)) {
            return (known.text.clone(), known.count);
        }
        let sql = |name: &Name| Some((name.to_string(), Value::from(sql_of(*name, plan)?)));
        let queries: Map<String, Value> = names.iter().filter_map(sql).collect();
        let count = queries.len();
        // The agent on ChromeOS fails without `discovery`; to osqueryd an empty one is none.
        let text = Bytes::from(json!({ "queries": queries, "discovery": {} }).to_string());
        let mut kept = lock(&self.0);
        kept.truncate(KEPT - 1);
        kept.push_front(QuestionText { generation: plan.generation, names: names.to_vec(), count, text: text.clone() });
        (text, count)
    }
}
