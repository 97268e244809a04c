use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle, presets};

use crate::output::printable;

/// The rule below the header, and between rows.
const RULE: LineStyle = LineStyle::new('+', '-', '+', '+');

/// Formats rows as a grid: upper-case header, rules between rows, no wrapping.
pub fn grid(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    styled(presets::ASCII_FULL.header_separator(RULE).row_separator(RULE), columns, rows)
}

/// As [`grid`], without rules between rows: more of them are seen at once.
pub fn dense(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    styled(presets::ASCII_FULL_CONDENSED.header_separator(RULE), columns, rows)
}

fn styled(style: TableStyle, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(style)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| column.to_uppercase()))
        .add_rows(rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>()));
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::{dense, grid};

    #[test]
    fn a_grid_has_rules_between_rows() {
        let text = grid(
            &["name", "query"],
            [vec!["a".to_owned(), "select 1".to_owned()], vec!["b".to_owned(), "select\n2".to_owned()]],
        );
        assert_eq!(
            text,
            "+------+----------+\n\
             | NAME | QUERY    |\n\
             +------+----------+\n\
             | a    | select 1 |\n\
             +------+----------+\n\
             | b    | select   |\n\
             |      | 2        |\n\
             +------+----------+\n"
        );
    }

    #[test]
    fn a_dense_table_has_rules_around_the_header_alone() {
        let rows = [vec!["a".to_owned()], vec!["b".to_owned()]];
        let text = dense(&["x"], rows);
        assert_eq!(text, "+---+\n| X |\n+---+\n| a |\n| b |\n+---+\n");
    }

    #[test]
    fn long_cells_are_not_wrapped() {
        let long = "x".repeat(500);
        assert!(grid(&["name"], [vec![long.clone()]]).contains(&long));
    }
}
