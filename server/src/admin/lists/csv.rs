//! Hosts as comma-separated values (RFC 4180) that are safe to open in a spreadsheet.

use muster_api::rest::HostView;
use serde_json::Value;

use crate::admin::work::internal;
use crate::fleet::Result;

/// A column, by the key that it has in lists.
pub(in crate::admin) type Column = &'static str;

/// All columns, in the order of the keys of a host.
pub(in crate::admin) const COLUMNS: [Column; 42] = [
    "created_at",
    "updated_at",
    "id",
    "detail_updated_at",
    "label_updated_at",
    "policy_updated_at",
    "last_enrolled_at",
    "seen_time",
    "refetch_requested",
    "hostname",
    "uuid",
    "platform",
    "osquery_version",
    "os_version",
    "build",
    "platform_like",
    "code_name",
    "uptime",
    "memory",
    "cpu_type",
    "cpu_subtype",
    "cpu_brand",
    "cpu_physical_cores",
    "cpu_logical_cores",
    "hardware_vendor",
    "hardware_model",
    "hardware_version",
    "hardware_serial",
    "computer_name",
    "primary_ip",
    "primary_mac",
    "distributed_interval",
    "config_tls_refresh",
    "logger_tls_period",
    "enroll_secret_name",
    "team_id",
    "team_name",
    "gigs_disk_space_available",
    "percent_disk_space_available",
    "status",
    "display_text",
    "display_name",
];

/// First characters with which a spreadsheet may take a text for a formula, as OWASP lists them.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Writes the line with the names of the columns.
pub(super) fn head(columns: &[Column], text: &mut String) {
    text.push_str(&columns.join(","));
    text.push_str("\r\n");
}

/// Writes the line of a host.
pub(super) fn line(columns: &[Column], host: &HostView, text: &mut String) -> Result<()> {
    let host = serde_json::to_value(host).map_err(internal)?;
    for (position, column) in columns.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        match &host[*column] {
            Value::Null => {}
            Value::String(cell) => add(cell, text),
            number => text.push_str(&number.to_string()),
        }
    }
    text.push_str("\r\n");
    Ok(())
}

/// Writes a text, in quotes if it needs them. One that a spreadsheet may take for a formula begins with an apostrophe.
pub(in crate::admin) fn add(cell: &str, text: &mut String) {
    let is_formula = cell.starts_with(FORMULA);
    if !is_formula && !cell.contains([',', ';', '"', '\t', '\r', '\n']) && cell.trim() == cell {
        text.push_str(cell);
        return;
    }
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    // Where lists are separated by semicolons, a spreadsheet sees the end of a cell in them, and that of a row in line breaks,
    // whatever the quotes say.
    for (position, part) in cell.split_inclusive([';', '\t', '\r', '\n']).enumerate() {
        let inner = part.trim_start();
        if position > 0 && inner.starts_with(FORMULA) {
            text.push_str(&part[..part.len() - inner.len()]);
            text.push('\'');
            text.push_str(&inner.replace('"', "\"\""));
        } else {
            text.push_str(&part.replace('"', "\"\""));
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::add;

    fn cell(text: &str) -> String {
        let mut written = String::new();
        add(text, &mut written);
        written
    }

    #[test]
    fn a_text_that_may_be_a_formula_is_none() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠1"] {
            assert_eq!(cell(formula), format!("\"'{formula}\""));
        }
        assert_eq!(cell("=HYPERLINK(\"http://x\",\"y\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        for harmless in ["", "a=b", "1-2", "web-1.example.com", "2026-01-15T12:00:00Z"] {
            assert_eq!(cell(harmless), harmless);
        }
    }

    #[test]
    fn separators_quotes_and_ends_of_lines_are_quoted() {
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("a;b"), "\"a;b\"");
        assert_eq!(cell("a; =b;-\"c;d"), "\"a; '=b;'-\"\"c;d\"");
        assert_eq!(cell("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(cell("a\r\nb"), "\"a\r\nb\"");
        assert_eq!(cell("a\n=1+1;b"), "\"a\n'=1+1;b\"");
        assert_eq!(cell("a\r\n -1\r@b"), "\"a\r\n '-1\r'@b\"");
        assert_eq!(cell(" =a"), "\" =a\"");
    }
}
