//! Text that somebody else has chosen: agents, operators, SQL.

use maud::{Markup, html};

/// Text as it is, apart from the direction of the text around it. Characters that nobody sees, and those that turn the
/// direction of what follows, are shown by their number.
pub(in crate::admin::pages) fn shown(text: &str) -> Markup {
    if !text.chars().any(is_hidden) {
        return html! { bdi { (text) } };
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_hidden) {
        let (before, after) = rest.split_at(at);
        let mut chars = after.chars();
        parts.push((before, chars.next()));
        rest = chars.as_str();
    }
    parts.push((rest, None));
    html! {
        bdi {
            @for (before, hidden) in parts {
                (before)
                @if let Some(hidden) = hidden { span.hidden-char { "U+" (format!("{:04X}", u32::from(hidden))) } }
            }
        }
    }
}

/// As [`shown`], at most so many characters; then it says how many more there are.
pub(in crate::admin::pages) fn cut(text: &str, most: usize) -> Markup {
    match text.char_indices().nth(most) {
        None => shown(text),
        Some((end, _)) => shown_start(&text[..end], text[end..].chars().count()),
    }
}

/// As [`shown`], the start of a text that has so many characters more.
pub(in crate::admin::pages) fn shown_start(start: &str, more: usize) -> Markup {
    html! { (shown(start)) @if more > 0 { span.muted title={ (more) " more characters" } { "…" } } }
}

/// Text where nothing can mark a part of it, such as a title: without characters that nobody sees.
pub(in crate::admin::pages) fn visible(text: &str) -> String {
    text.chars().filter(|char| !is_hidden(*char)).collect()
}

/// Tells of characters in texts that stand in a form as they are, if there are any that nobody sees there.
pub(in crate::admin::pages) fn hidden_warning(texts: &[&str]) -> Markup {
    let is_odd = |text: &&&str| text.chars().any(is_hidden);
    html! {
        @for text in texts.iter().filter(is_odd) {
            p.warning { "This text has characters that nobody sees, or that turn its direction: " (cut(text, 2_000)) }
        }
    }
}

/// Controls but for tabs and line breaks, characters without width, and marks of direction.
fn is_hidden(char: char) -> bool {
    match char {
        '\t' | '\n' | '\r' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        char => char.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup_and_nothing_in_it_hides() {
        assert_eq!(shown("<script>\"&").into_string(), "<bdi>&lt;script&gt;&quot;&amp;</bdi>");
        let hostile = shown("a\u{202e}b\u{200b}").into_string();
        assert!(hostile.contains("U+202E") && hostile.contains("U+200B"), "{hostile}");
        assert!(!hostile.contains('\u{202e}') && !hostile.contains('\u{200b}'), "{hostile}");
        assert_eq!(shown("tab\tand\nline").into_string(), "<bdi>tab\tand\nline</bdi>");
    }

    #[test]
    fn long_text_says_that_there_is_more() {
        assert_eq!(cut("äöü", 3).into_string(), "<bdi>äöü</bdi>");
        let cut = cut(&"é".repeat(10_000), 80).into_string();
        assert!(cut.len() < 400 && cut.contains("9920 more characters"), "{cut}");
    }
}
