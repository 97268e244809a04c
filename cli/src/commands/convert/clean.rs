/// A pack file after the clean-up that agents do: lines that end in a backslash are joined with the next, comment lines
/// are removed, other lines are trimmed.
pub struct CleanText {
    pub text: String,
    /// Byte offset of the first line continuation before CRLF, which agents do not accept.
    pub crlf_continuation: Option<usize>,
    joined: ByteRuns,
    trimmed: ByteRuns,
}

impl CleanText {
    /// Joins lines before it removes comments, as agents do: comments can be continued and strings can contain `//`.
    pub fn from(text: &str) -> Self {
        let (joined_text, joined, crlf_continuation) = join(text);
        let (text, trimmed) = trim(&joined_text);
        Self { text, crlf_continuation, joined, trimmed }
    }

    /// Byte offset in the original text.
    pub fn origin(&self, offset: usize) -> usize {
        self.joined.origin(self.trimmed.origin(offset))
    }
}

/// Runs of bytes that stayed together, as (new start, original start).
#[derive(Default)]
struct ByteRuns(Vec<(usize, usize)>);

impl ByteRuns {
    fn origin(&self, offset: usize) -> usize {
        let after = self.0.partition_point(|(now, _)| *now <= offset);
        after.checked_sub(1).and_then(|run| self.0.get(run)).map_or(offset, |(now, before)| before + (offset - now))
    }
}

/// Removes every backslash that is followed by a line end, and the line end.
fn join(text: &str) -> (String, ByteRuns, Option<usize>) {
    let mut joined = String::with_capacity(text.len());
    let mut runs = ByteRuns::default();
    let mut crlf = None;
    let mut from = 0;
    for (at, _) in text.match_indices('\\') {
        let after = &text[at + 1..];
        let end = if after.starts_with('\n') {
            at + 2
        } else if after.starts_with("\r\n") {
            crlf.get_or_insert(at);
            at + 3
        } else {
            continue;
        };
        runs.0.push((joined.len(), from));
        joined.push_str(&text[from..at]);
        from = end;
    }
    runs.0.push((joined.len(), from));
    joined.push_str(&text[from..]);
    (joined, runs, crlf)
}

/// Removes comment lines and trims other lines.
fn trim(text: &str) -> (String, ByteRuns) {
    let is_blank = |c| matches!(c, ' ' | '\t'..='\r');
    let mut trimmed = String::with_capacity(text.len());
    let mut runs = ByteRuns::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_start_matches(is_blank);
        if !body.starts_with('#') && !body.starts_with("//") {
            runs.0.push((trimmed.len(), start + (line.len() - body.len())));
            trimmed.push_str(body.trim_end_matches(is_blank));
            trimmed.push('\n');
        }
        start += line.len();
    }
    (trimmed, runs)
}

#[cfg(test)]
mod tests {
    use super::CleanText;

    /// Offset of `part` of the cleaned text in the original text.
    fn origin(text: &str, part: &str) -> usize {
        let clean = CleanText::from(text);
        clean.origin(clean.text.find(part).unwrap())
    }

    #[test]
    fn comment_lines_go_and_others_are_trimmed() {
        let text = "# one\n  // two\n  { \"a\": \"# // kept\",\t\r\n\n\t\"b\": 1 // kept\n}";
        assert_eq!(CleanText::from(text).text, "{ \"a\": \"# // kept\",\n\n\"b\": 1 // kept\n}\n");
        assert_eq!(origin(text, "\"b\""), text.find("\"b\"").unwrap());
        assert_eq!(origin(text, "}"), text.len() - 1);
    }

    #[test]
    fn continued_lines_are_joined_blanks_and_all() {
        let text = "{\n  \"a\": \"x \\\n    y\\\n\\\n z\\\\n\"\n}";
        assert_eq!(CleanText::from(text).text, "{\n\"a\": \"x     y z\\\\n\"\n}\n");
        for part in ["x", "y", "z", "\"\n}"] {
            assert_eq!(origin(text, part), text.find(part).unwrap(), "{part}");
        }
        assert_eq!(CleanText::from(text).crlf_continuation, None);
    }

    #[test]
    fn joining_comes_before_comments() {
        assert_eq!(CleanText::from("# a \\\n{\n[]").text, "[]\n");
        assert_eq!(CleanText::from("[\"a \\\n# b\"]").text, "[\"a # b\"]\n");
    }

    #[test]
    fn a_continuation_that_agents_break_on_is_found() {
        let text = "[\"a \\\r\n  b \\\r\n c\"]\r\n";
        let clean = CleanText::from(text);
        assert_eq!((clean.text.as_str(), clean.crlf_continuation), ("[\"a   b  c\"]\n", Some(4)));
        assert_eq!(origin(text, "c"), text.find('c').unwrap());
    }
}
