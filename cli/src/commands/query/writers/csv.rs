use muster_api::rest::LiveAnswer;

use super::spool::Spool;
use super::{AnswerWriter, Emit};
use crate::output::printable;

/// Maximum bytes of rows kept until all columns are known.
const LIMIT: u64 = 4 << 30;
/// Bytes printed at once.
const BLOCK: usize = 64 << 10;
/// First characters that make spreadsheets evaluate a cell, with the full-width forms that some accept.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Prints comma-separated values (RFC 4180) that are safe to open in a spreadsheet.
pub struct CsvWriter {
    spool: Spool,
    is_terminal: bool,
}

impl CsvWriter {
    pub fn new(is_terminal: bool) -> Self {
        Self { spool: Spool::new("csv", LIMIT), is_terminal }
    }
}

impl AnswerWriter for CsvWriter {
    fn answer(&mut self, answer: LiveAnswer, _emit: Emit<'_>) -> anyhow::Result<()> {
        self.spool.add(&answer)
    }

    fn finish(&mut self, emit: Emit<'_>) -> anyhow::Result<()> {
        let is_terminal = self.is_terminal;
        let mut text = line(self.spool.columns(), is_terminal);
        for row in self.spool.rows()? {
            text.push_str(&line(&row?, is_terminal));
            if text.len() >= BLOCK {
                emit(&text)?;
                text.clear();
            }
        }
        emit(&text)
    }
}

fn line(cells: &[String], is_terminal: bool) -> String {
    let cells = cells.iter().map(|cell| if is_terminal { field(&printable(cell)) } else { field(cell) });
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

fn field(cell: &str) -> String {
    let guard = if is_formula(cell) { "'" } else { "" };
    let is_plain = !cell.contains([',', ';', '"', '\t', '\r', '\n']) && cell.trim() == cell;
    if is_plain {
        return format!("{guard}{cell}");
    }
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

/// Whether a spreadsheet may evaluate a cell. Signed numbers are safe.
fn is_formula(cell: &str) -> bool {
    cell.trim_start().starts_with(FORMULA) && !is_number(cell)
}

fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn formulas_get_an_apostrophe_and_numbers_do_not() {
        for harmless in ["-1", "+1.5", "-1e9", "1-2", "a=b", "", "'=x"] {
            assert_eq!(field(harmless), harmless);
        }
        for formula in ["=1+1", "+A1", "-A1", "@SUM(A1)", "-", "-1+A1", "-inf", "＝1"] {
            assert_eq!(field(formula), format!("'{formula}"));
        }
        assert_eq!(field("\t=1"), "\"'\t=1\"");
        assert_eq!(field("\r=\"x\""), "\"'\r=\"\"x\"\"\"");
    }

    #[test]
    fn separators_quotes_and_ends_of_lines_are_quoted() {
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("a;=b"), "\"a;=b\"");
        assert_eq!(field("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(field("a\nb"), "\"a\nb\"");
        assert_eq!(field(" a"), "\" a\"");
    }
}
