//! What differs: field by field, and line by line where a value has several lines.

use maud::{Markup, html};

use super::{cut, shown};
use crate::fleet::changes::{ChangedFields, FieldChange};

/// Most lines that are compared, old ones times new ones.
const MAX_COMPARED: usize = 250_000;

/// Lines around a difference.
const CONTEXT: usize = 2;

/// Most lines of a field that are shown.
const MAX_LINES: usize = 120;

/// Characters of a line that are shown.
const LINE: usize = 300;

/// Characters of a value in a list.
const SHORT: usize = 80;

/// Fields of an object in a list.
const SHORT_FIELDS: usize = 3;

/// How many characters of differences a page shows: what is beyond is told by its number of fields.
pub(in crate::admin::pages) struct DiffRoom(usize);

impl DiffRoom {
    /// The room of a page.
    pub(in crate::admin::pages) fn of_page() -> Self {
        Self(24_000)
    }

    fn take(&mut self, field: &FieldChange) -> bool {
        let texts = [&field.before, &field.after].into_iter().flatten();
        let wanted = field.field.len() + texts.map(String::len).sum::<usize>() + 100;
        let is_room = self.0 > 0;
        self.0 = self.0.saturating_sub(wanted);
        is_room
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineFate {
    Kept,
    Removed,
    Added,
}

/// Every field that differs, as long as there is room on the page.
pub(in crate::admin::pages) fn field_diffs(changed: &ChangedFields, room: &mut DiffRoom) -> Markup {
    let fields: Vec<&FieldChange> = changed.fields.iter().take_while(|field| room.take(field)).collect();
    let left_out = changed.left_out + changed.fields.len() - fields.len();
    html! {
        dl.changes {
            @for field in fields {
                dt { (cut(&field.field, 200)) }
                dd { (value_diff(field)) }
            }
        }
        @if left_out > 0 { p.muted { (left_out) " more fields differ; they are not shown here." } }
    }
}

/// The first fields that differ, in few words, for lists.
pub(in crate::admin::pages) fn short_diffs(changed: &ChangedFields) -> Markup {
    let more = changed.left_out + changed.fields.len().saturating_sub(SHORT_FIELDS);
    html! {
        @for field in changed.fields.iter().take(SHORT_FIELDS) {
            div.small {
                span.muted { (cut(&field.field, SHORT)) ": " }
                @if field.is_secret { span.muted { "changed, not kept" } } @else {
                    @let same = same_start(field.before.as_deref(), field.after.as_deref());
                    (short_value(field.before.as_deref(), true, same)) " → " (short_value(field.after.as_deref(), false, same))
                }
            }
        }
        @if more > 0 { div.small.muted { "and " (more) " more" } }
    }
}

/// Characters at the start of both values that need not be shown, so that the difference is.
fn same_start(old: Option<&str>, new: Option<&str>) -> usize {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    if same < SHORT / 2 { 0 } else { same - SHORT / 4 }
}

fn short_value(value: Option<&str>, is_old: bool, left_out: usize) -> Markup {
    let short = |text: &str| {
        let text: String = text.chars().skip(left_out).take(SHORT + 1).collect();
        html! { @if left_out > 0 { "…" } (cut(&text, SHORT)) }
    };
    html! {
        @match value {
            None => span.muted { "–" },
            Some(text) if is_old => del { (short(text)) },
            Some(text) => ins { (short(text)) },
        }
    }
}

fn value_diff(field: &FieldChange) -> Markup {
    let (old, new) = (field.before.as_deref().unwrap_or_default(), field.after.as_deref().unwrap_or_default());
    let is_long = |text: &str| text.len() > SHORT || text.contains('\n');
    html! {
        @if field.is_secret {
            span.muted { "changed; the values are not kept, as they may be secret" }
        } @else if is_long(old) || is_long(new) {
            (lines_diff(old, new))
        } @else {
            @if field.before.is_some() { del { (shown(old)) } } @else { span.muted { "–" } }
            " → "
            @if field.after.is_some() { ins { (shown(new)) } } @else { span.muted { "–" } }
        }
        @if field.is_cut { p.muted.small { "The values are longer; their starts are kept." } }
    }
}

fn lines_diff(old: &str, new: &str) -> Markup {
    let lines = compare(&split(old), &split(new));
    // Lines near a difference are shown, and marks where others are left out.
    let is_near = |at: usize| {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(lines.len()));
        lines[from..to].iter().any(|(fate, _)| *fate != LineFate::Kept)
    };
    let near: Vec<usize> = (0..lines.len()).filter(|at| is_near(*at)).collect();
    let mut before = None;
    let rows = near.iter().take(MAX_LINES).map(|at| {
        let has_gap = before.map_or(*at > 0, |before| before + 1 < *at);
        before = Some(*at);
        (has_gap, lines[*at])
    });
    let rows: Vec<(bool, (LineFate, &str))> = rows.collect();
    html! {
        div.diff role="group" aria-label="Lines that differ" {
            @for (has_gap, (fate, line)) in rows {
                @if has_gap { div.gap { "⋯" } }
                @match fate {
                    LineFate::Kept => div { span.sign { " " } (cut(line, LINE)) },
                    LineFate::Removed => del { span.sign { "−" } (cut(line, LINE)) },
                    LineFate::Added => ins { span.sign { "+" } (cut(line, LINE)) },
                }
            }
            @if near.len() > MAX_LINES { div.gap { "and " (near.len() - MAX_LINES) " more lines" } }
        }
    }
}

/// The lines of a text; of an empty one, none.
fn split(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('\n').map(|line| line.trim_end_matches('\r')).collect() }
}

/// Old and new lines in one list, with what becomes of each. Texts that are too long are compared at their ends alone.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(LineFate, &'a str)> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let (removed, added) = (&old_rest[..old_rest.len() - end], &new_rest[..new_rest.len() - end]);
    let mut lines: Vec<(LineFate, &str)> = old[..start].iter().map(|line| (LineFate::Kept, *line)).collect();
    if removed.len() * added.len() > MAX_COMPARED {
        lines.extend(removed.iter().map(|line| (LineFate::Removed, *line)));
        lines.extend(added.iter().map(|line| (LineFate::Added, *line)));
    } else {
        longest_common(removed, added, &mut lines);
    }
    lines.extend(old_rest[old_rest.len() - end..].iter().map(|line| (LineFate::Kept, *line)));
    lines
}

/// Adds the lines so that as many as possible are kept.
fn longest_common<'a>(old: &[&'a str], new: &[&'a str], lines: &mut Vec<(LineFate, &'a str)>) {
    // The most lines that the rests have in common, by where they begin.
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for (row, old_line) in old.iter().enumerate().rev() {
        for (column, new_line) in new.iter().enumerate().rev() {
            let at = row * width + column;
            common[at] =
                if old_line == new_line { common[at + width + 1] + 1 } else { common[at + width].max(common[at + 1]) };
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < old.len() || column < new.len() {
        let at = row * width + column;
        if row < old.len() && column < new.len() && old[row] == new[column] {
            lines.push((LineFate::Kept, old[row]));
            (row, column) = (row + 1, column + 1);
        } else if column == new.len() || (row < old.len() && common[at + width] >= common[at + 1]) {
            lines.push((LineFate::Removed, old[row]));
            row += 1;
        } else {
            lines.push((LineFate::Added, new[column]));
            column += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(old: &str, new: &str) -> String {
        let sign = |fate| match fate {
            LineFate::Kept => ' ',
            LineFate::Removed => '-',
            LineFate::Added => '+',
        };
        let lines = compare(&split(old), &split(new));
        lines.into_iter().map(|(fate, line)| format!("{}{line}", sign(fate))).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn lines_are_kept_where_they_can_be() {
        assert_eq!(compared("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
        assert_eq!(compared("a\nb", "a\nb"), " a| b");
        assert_eq!(compared("", "a\nb"), "+a|+b");
        assert_eq!(compared("a\nb\nc\nd", "b\nd\ne"), "-a| b|-c| d|+e");
        assert_eq!(compared("a\r\nb", "a\nb"), " a| b");
    }

    #[test]
    fn texts_without_bound_are_compared_within_one() {
        let [old, new] = ["a\n", "b\n"].map(|line| ["same\n", &line.repeat(2_000), "same"].concat());
        let lines = compared(&old, &new);
        assert!(lines.starts_with(" same|-a") && lines.ends_with("+b| same"));
        let changed = ChangedFields {
            fields: vec![FieldChange::new("query", Some(&old.into()), Some(&new.into()))],
            left_out: 0,
        };
        let shown = field_diffs(&changed, &mut DiffRoom::of_page()).into_string();
        assert!(shown.len() < 20_000 && shown.contains("more lines"), "{}", shown.len());
    }

    #[test]
    fn lines_far_from_a_difference_are_left_out() {
        let old: Vec<String> = (0..50).map(|line| format!("line {line}")).collect();
        let mut new = old.clone();
        "changed".clone_into(&mut new[25]);
        let shown = lines_diff(&old.join("\n"), &new.join("\n")).into_string();
        assert!(shown.contains("line 23") && !shown.contains("line 22<") && shown.contains('⋯'), "{shown}");
        assert_eq!(shown.matches("<del>").count(), 1);
    }
}
