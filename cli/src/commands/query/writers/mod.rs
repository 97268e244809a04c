//! Output formats of `fleetctl query`.

mod csv;
mod lines;
mod spool;
mod tables;

use muster_api::rest::LiveAnswer;
use serde_json::Value;

use super::args::AnswerFormat;
pub use spool::SpoolFull;

/// Column with the host name, named as in Fleet.
const HOST_COLUMN: &str = "host_hostname";

/// Receives the output piece by piece.
pub type Emit<'a> = &'a mut dyn FnMut(&str) -> anyhow::Result<()>;

/// Prints answers, each when it arrives or all at the end.
pub trait AnswerWriter {
    fn answer(&mut self, answer: LiveAnswer, emit: Emit<'_>) -> anyhow::Result<()>;

    /// Prints the rest; called once, after the last answer.
    fn finish(&mut self, emit: Emit<'_>) -> anyhow::Result<()>;
}

/// The writer of a format; `None` prints a table per host.
pub fn writer(output: Option<AnswerFormat>, is_terminal: bool) -> Box<dyn AnswerWriter> {
    match output {
        None => Box::new(tables::HostTableWriter),
        Some(AnswerFormat::Ndjson) => Box::new(lines::NdjsonWriter),
        Some(AnswerFormat::Json) => Box::new(lines::JsonWriter::default()),
        Some(AnswerFormat::Csv) => Box::new(csv::CsvWriter::new(is_terminal)),
        Some(AnswerFormat::Table) => Box::new(tables::TableWriter::new()),
    }
}

/// The text of a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Column names and cells of a row without the host column. A row that is not an object has the single column `value`.
fn cells(row: &Value) -> Vec<(&str, String)> {
    match row.as_object() {
        Some(row) => {
            let own = row.iter().filter(|(column, _)| *column != HOST_COLUMN);
            own.map(|(column, value)| (column.as_str(), cell(value))).collect()
        }
        None => vec![("value", cell(row))],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::query::tally::tests::answer;

    fn written(output: Option<AnswerFormat>) -> String {
        let answers = [
            answer(
                "a",
                "answered",
                json!([{"pid": "1", "name": "init"}, {"pid": "2", "name": "=cmd|' /C calc'!A0"}]),
                None,
            ),
            answer("b", "failed", json!([]), Some("no such table: x")),
            answer("c", "answered", json!([{"name": "x,\"y\"\nz", "path": "/bin", "pid": null}]), None),
            answer("d", "answered", json!([]), None),
        ];
        let mut text = String::new();
        let mut emit = |part: &str| {
            text.push_str(part);
            Ok(())
        };
        let mut writer = writer(output, false);
        for answer in answers {
            writer.answer(answer, &mut emit).unwrap();
        }
        writer.finish(&mut emit).unwrap();
        text
    }

    #[test]
    fn ndjson_is_as_in_fleet_with_errors_added() {
        assert_eq!(
            written(Some(AnswerFormat::Ndjson)),
            "{\"host\":\"a\",\"rows\":[{\"pid\":\"1\",\"name\":\"init\",\"host_hostname\":\"a\"},\
             {\"pid\":\"2\",\"name\":\"=cmd|' /C calc'!A0\",\"host_hostname\":\"a\"}]}\n\
             {\"host\":\"b\",\"rows\":[],\"error\":\"no such table: x\"}\n\
             {\"host\":\"c\",\"rows\":[{\"name\":\"x,\\\"y\\\"\\nz\",\"path\":\"/bin\",\"pid\":null,\"host_hostname\":\"c\"}]}\n\
             {\"host\":\"d\",\"rows\":[]}\n"
        );
    }

    #[test]
    fn json_is_one_array_of_the_same() {
        let parsed: Value = serde_json::from_str(&written(Some(AnswerFormat::Json))).unwrap();
        let lines: Vec<Value> =
            written(Some(AnswerFormat::Ndjson)).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed, Value::Array(lines));
        let mut text = String::new();
        let mut emit = |part: &str| {
            text.push_str(part);
            Ok(())
        };
        writer(Some(AnswerFormat::Json), false).finish(&mut emit).unwrap();
        assert_eq!(text, "[]\n");
    }

    #[test]
    fn csv_has_the_union_of_columns_and_no_formulas() {
        assert_eq!(
            written(Some(AnswerFormat::Csv)),
            "host_hostname,pid,name,path\r\n\
             a,1,init,\r\n\
             a,2,'=cmd|' /C calc'!A0,\r\n\
             c,,\"x,\"\"y\"\"\nz\",/bin\r\n"
        );
    }

    #[test]
    fn a_table_has_all_hosts() {
        let table = written(Some(AnswerFormat::Table));
        assert!(table.contains("| HOST_HOSTNAME | PID | NAME               | PATH |\n"), "{table}");
        assert!(table.contains("| c             |     | x,\"y\"              | /bin |\n"), "{table}");
    }

    #[test]
    fn pretty_is_a_table_per_host() {
        let text = written(None);
        assert_eq!(text.matches("HOST_HOSTNAME").count(), 2, "{text}");
        assert!(text.contains("| HOST_HOSTNAME | NAME  | PATH | PID |\n"), "{text}");
        assert!(text.ends_with("d: no rows\n"), "{text}");
    }
}
