//! Files of comma-separated values, as spreadsheets write them.

use anyhow::{anyhow, bail};

/// A table with the names of its columns, and the line that each row begins in.
#[derive(Debug, PartialEq, Eq)]
pub struct CsvTable {
    pub columns: Vec<String>,
    pub rows: Vec<(usize, Vec<String>)>,
}

/// Reads a table (RFC 4180). Lines may end in any way, cells are trimmed unless they are quoted, empty lines are skipped.
///
/// # Errors
/// The line of a quote that is not closed, or of a row that has more cells than there are columns.
pub fn read(name: &str, text: &str) -> anyhow::Result<CsvTable> {
    let mut rows = cells(name, text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let Some((_, columns)) = rows.next() else { bail!("{name} is empty; the first line names the columns") };
    let rows: Vec<_> = rows.collect();
    if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() > columns.len()) {
        bail!("{name}:{line}: there are {} values, but {} columns", row.len(), columns.len());
    }
    Ok(CsvTable { columns, rows })
}

/// A cell as it is read: quotes keep blanks.
#[derive(Default)]
struct CellText {
    text: String,
    is_quoted: bool,
}

impl CellText {
    fn take(&mut self) -> String {
        let Self { text, is_quoted } = std::mem::take(self);
        if is_quoted { text } else { text.trim().to_owned() }
    }
}

fn cells(name: &str, text: &str) -> anyhow::Result<Vec<(usize, Vec<String>)>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), CellText::default());
    let (mut line, mut begun) = (1, 1);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if cell.text.trim().is_empty() && !cell.is_quoted => {
                cell = CellText { text: String::new(), is_quoted: true };
                let opened = line;
                loop {
                    match letters.next() {
                        Some('"') if letters.next_if_eq(&'"').is_some() => cell.text.push('"'),
                        Some('"') => break,
                        Some(inner) => {
                            line += usize::from(inner == '\n');
                            cell.text.push(inner);
                        }
                        None => return Err(anyhow!("{name}:{opened}: a quote is not closed")),
                    }
                }
            }
            ',' => row.push(cell.take()),
            '\n' | '\r' => {
                if letter == '\r' {
                    letters.next_if_eq(&'\n');
                }
                row.push(cell.take());
                end_row(&mut rows, &mut row, begun);
                line += 1;
                begun = line;
            }
            // Behind a closing quote only blanks are left out.
            blank if cell.is_quoted && blank.is_whitespace() => {}
            other => cell.text.push(other),
        }
    }
    row.push(cell.take());
    end_row(&mut rows, &mut row, begun);
    Ok(rows)
}

fn end_row(rows: &mut Vec<(usize, Vec<String>)>, row: &mut Vec<String>, begun: usize) {
    let row = std::mem::take(row);
    if row.iter().any(|cell| !cell.is_empty()) {
        rows.push((begun, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_spreadsheets_are_read() {
        let text = "\u{feff}Name, Email ,Role\r\n\"Ada, \"\"A\"\"\" ,ada@example.com,\r\n\r\n\"two\nlines\",b@c.d\n x y ,e@f.g,admin";
        let table = read("u.csv", text).unwrap();
        assert_eq!(table.columns, ["Name", "Email", "Role"]);
        let row = |line: usize, cells: &[&str]| (line, cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            table.rows,
            [
                row(2, &["Ada, \"A\"", "ada@example.com", ""]),
                row(4, &["two\nlines", "b@c.d"]),
                row(6, &["x y", "e@f.g", "admin"])
            ]
        );
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, expected) in [
            ("", "u.csv is empty; the first line names the columns"),
            ("\n\n", "u.csv is empty; the first line names the columns"),
            ("a,b\n1,2,3\n", "u.csv:2: there are 3 values, but 2 columns"),
            ("a\n\"x\ny", "u.csv:2: a quote is not closed"),
        ] {
            assert_eq!(read("u.csv", text).unwrap_err().to_string(), expected);
        }
    }
}
