use comfy_table::{ContentArrangement, LineStyle, Table, presets};

use crate::output::printable;

/// Formats rows as a grid: upper-case header, rules between rows, no wrapping.
pub fn grid(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rule = LineStyle::new('+', '-', '+', '+');
    let style = presets::ASCII_FULL.header_separator(rule).row_separator(rule);
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
    use super::grid;

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
    fn long_cells_are_not_wrapped() {
        let long = "x".repeat(500);
        assert!(grid(&["name"], [vec![long.clone()]]).contains(&long));
    }
}
