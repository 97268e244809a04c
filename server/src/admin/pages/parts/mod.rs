//! What pages are made of.

mod badge;
mod chart;
mod diff;
mod editor;
mod icon;
mod impact;
mod number;
mod spark;
mod text;
mod time;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub(super) use self::badge::{Tone, badge, status_badge};
pub(super) use self::chart::{Bar, BarChart, ChartMark, ChartScale, meter};
pub(super) use self::diff::{DiffRoom, field_diffs, short_diffs};
pub(super) use self::editor::{CodeField, CodeLanguage, code_field};
pub(super) use self::icon::{Icon, icon};
pub(super) use self::impact::{impact_badge, of_run};
pub(super) use self::number::{bytes, count, cpu_per_day, milliseconds, percent, plural, whole};
pub(super) use self::spark::spark;
pub(super) use self::text::{cut, hidden_warning, shown, shown_start, visible};
pub(super) use self::time::{ago, ago_or_never};

/// What need not be encoded in a query string.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An address with these parameters; those that are empty are left out.
pub(super) fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut link = path.to_owned();
    let mut before = if path.contains('?') { '&' } else { '?' };
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        link.push(before);
        link.push_str(name);
        link.push('=');
        link.extend(utf8_percent_encode(value, QUERY));
        before = '&';
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_encode_what_could_end_a_value() {
        assert_eq!(link("/hosts", &[("query", "a b&c=\"<é"), ("status", "")]), "/hosts?query=a%20b%26c%3D%22%3C%C3%A9");
        assert_eq!(link("/hosts?a=1", &[("b", "2")]), "/hosts?a=1&b=2");
        assert_eq!(link("/hosts", &[]), "/hosts");
    }
}
