//! What is said on a socket.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fleet::live::Brief;

/// What a client says.
#[derive(Debug, Deserialize)]
pub(super) struct ClientMessage {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub data: Value,
}

pub(super) fn of(kind: &str, data: &impl Serialize) -> String {
    json!({ "type": kind, "data": data }).to_string()
}

pub(super) fn error(reason: &str) -> String {
    of("error", &reason)
}

/// One host's answer. Its rows are passed on as text, each with the host's names added, because parsed they take many
/// times the room.
pub(super) fn result(campaign: i64, answer: &Brief<'_>, display_name: &str) -> String {
    let host = json!({ "id": answer.host_id, "hostname": answer.hostname, "display_name": display_name });
    let names = json!({ "host_hostname": answer.hostname, "host_display_name": display_name }).to_string();
    let names = names.strip_prefix('{').unwrap_or(&names);
    let mut text = format!(
        r#"{{"type":"result","data":{{"distributed_query_execution_id":{campaign},"host":{host},"error":{},"rows":["#,
        json!(answer.error)
    );
    for (position, row) in answer.rows.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        let columns = row.get().strip_suffix('}').unwrap_or(row.get());
        text.push_str(columns);
        if columns.len() > 1 {
            text.push(',');
        }
        text.push_str(names);
    }
    text.push(']');
    if answer.truncated {
        text.push_str(&format!(r#","truncated":true,"rows_sent":{}"#, json!(answer.rows_sent)));
    }
    text.push_str("}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::live::ResultLine;

    fn sent(line: &str) -> Value {
        let line = ResultLine { cursor: 9, text: line.as_bytes().to_vec() };
        serde_json::from_str(&result(4, &Brief::of(&line).unwrap(), "Ann's \"Mac\"")).unwrap()
    }

    #[test]
    fn rows_carry_their_host() {
        let sent = sent(r#"{"host_id":7,"hostname":"a","state":"answered","rows":[{"x":"}"},{},{"y":"{\"}"}]}"#);
        assert_eq!(
            sent,
            json!({ "type": "result", "data": {
                "distributed_query_execution_id": 4,
                "host": { "id": 7, "hostname": "a", "display_name": "Ann's \"Mac\"" },
                "rows": [
                    { "x": "}", "host_hostname": "a", "host_display_name": "Ann's \"Mac\"" },
                    { "host_hostname": "a", "host_display_name": "Ann's \"Mac\"" },
                    { "y": "{\"}", "host_hostname": "a", "host_display_name": "Ann's \"Mac\"" },
                ],
                "error": null,
            }})
        );
    }

    #[test]
    fn failures_and_cut_answers_say_so() {
        let sent = sent(
            r#"{"host_id":7,"hostname":"a","state":"failed","rows":[],"rows_sent":5,"truncated":true,"error":"no such table"}"#,
        );
        assert_eq!(sent["data"]["error"], "no such table");
        assert_eq!((&sent["data"]["rows"], &sent["data"]["rows_sent"]), (&json!([]), &json!(5)));
    }
}
