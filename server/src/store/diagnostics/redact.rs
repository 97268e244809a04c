//! SQL without the values in it. What is not certain to be no value is cut: servers differ in what ends a string or a
//! comment, so text whose end depends on their settings ends what is shown.

/// Most bytes of a statement that are shown.
const MAX_SHOWN: usize = 2_000;

/// Stands for what is cut.
const CUT: &str = "…";

/// SQL as a database has told of it, with its values. Only [`SqlText::redacted`] gives it out.
pub struct SqlText(String);

impl SqlText {
    pub(super) fn new(sql: String) -> Self {
        Self(sql)
    }

    /// The statement with `?` for each value, without comments, on one line of at most 2,000 bytes.
    pub fn redacted(&self) -> String {
        redact(&self.0)
    }
}

impl std::fmt::Debug for SqlText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

/// As [`SqlText::redacted`].
pub(super) fn redact(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if out.len() > MAX_SHOWN {
            out.truncate(out.floor_char_boundary(MAX_SHOWN));
            out.push_str(CUT);
            break;
        }
        let taken = match first {
            '\'' | '"' => string_end(rest).inspect(|_| value(&mut out)),
            '`' => quoted_name(rest, &mut out),
            '#' => Some(line_end(rest)),
            // A comment for some servers, and two signs for others, unless there is a space.
            '-' if rest.starts_with("--") => {
                let is_comment = rest[2..].chars().next().is_none_or(char::is_whitespace);
                is_comment.then(|| line_end(rest))
            }
            '/' if rest.starts_with("/*") => comment_end(rest),
            _ if first.is_ascii_digit()
                || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit())) =>
            {
                value(&mut out);
                Some(run(rest, |letter| is_of_name(letter) || letter == '.'))
            }
            _ if is_of_name(first) => {
                let end = run(rest, is_of_name);
                name(&rest[..end], &rest[end..], &mut out);
                Some(end)
            }
            _ => {
                sign(first, &mut out);
                Some(first.len_utf8())
            }
        };
        let Some(taken) = taken else {
            out.push_str(CUT);
            break;
        };
        rest = &rest[taken..];
    }
    out.truncate(out.floor_char_boundary(MAX_SHOWN + CUT.len()));
    out.trim_end().to_owned()
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$' | '@') || !letter.is_ascii()
}

/// Bytes at the start that are all such letters.
fn run(text: &str, is_such: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !is_such(letter)).unwrap_or(text.len())
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Where a comment ends. Those that some servers run end nowhere.
fn comment_end(text: &str) -> Option<usize> {
    let is_run_by_some = ["!", "M!", "+"].iter().any(|mark| text[2..].starts_with(mark));
    if is_run_by_some { None } else { text[2..].find("*/").map(|end| end + 4) }
}

/// Where the string at the start ends; nowhere if that depends on whether a backslash escapes.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (quote, mut at) = (bytes[0], 1);
    loop {
        match *bytes.get(at)? {
            b'\\' => {
                let slashes = bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
                at += slashes;
                if slashes % 2 == 1 && bytes.get(at) == Some(&quote) {
                    return None;
                }
            }
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Takes a name in backticks, which is shown if it is a plain one.
fn quoted_name(text: &str, out: &mut String) -> Option<usize> {
    let end = text[1..].find('`')? + 2;
    let is_plain = text[1..end - 1].chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_plain && !text[end..].starts_with('`') {
        out.push_str(&text[..end]);
    } else {
        value(out);
    }
    Some(end)
}

/// Adds a name or keyword, unless it says how to read the string that follows.
fn name(name: &str, rest: &str, out: &mut String) {
    let is_prefix = rest.starts_with(['\'', '"']) && matches!(name, "x" | "X" | "b" | "B" | "n" | "N");
    if is_prefix {
        return;
    }
    // Names beyond ASCII are not ours.
    if name.is_ascii() { out.push_str(name) } else { value(out) }
}

/// Adds a sign or a space; what is neither is left out.
fn sign(sign: char, out: &mut String) {
    if sign.is_whitespace() {
        if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    } else if "()=<>!+-*/%,;.?&|^~:{}[]".contains(sign) {
        out.push(sign);
    }
}

/// Adds a value; those behind the first of a list are `…` together.
fn value(out: &mut String) {
    let before = out.trim_end();
    let list = before.strip_suffix(',').map(str::trim_end);
    match list {
        Some(list) if list.ends_with(CUT) => out.truncate(list.len()),
        Some(list) if list.ends_with('?') => {
            out.truncate(list.len());
            out.push_str(", ");
            out.push_str(CUT);
        }
        _ => out.push('?'),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_question_marks() {
        for (sql, shown) in [
            ("SELECT * FROM t WHERE a = 'x' AND b=\"y\"", "SELECT * FROM t WHERE a = ? AND b=?"),
            (
                "insert into `t` values (1, 'a''b', x'00ff', 0xDEAD, -1.5e-3, .5)",
                "insert into `t` values (?, …, -?-?, …)",
            ),
            ("SELECT a1, t2.b FROM t2 -- secret\n WHERE c = 7", "SELECT a1, t2.b FROM t2 WHERE c = ?"),
            ("SELECT /* secret */ 1 # secret", "SELECT ?"),
            ("SET a='\\\\', b='c'", "SET a=?, b=?"),
            ("a = 'it\\'s', b = 'c'", "a = …"),
            ("a = 'never ends", "a = …"),
            ("a--'b\n secret", "a…"),
            ("a /*!50000 'b */ c' */", "a …"),
            ("a = _binary'b' and c in (1,2,3)", "a = _binary? and c in (?, …)"),
            ("select `odd name` from `t", "select ? from …"),
            ("select ünï from t", "select ? from t"),
        ] {
            assert_eq!(redact(sql), shown, "{sql}");
        }
        let long = redact(&"a, ".repeat(5_000));
        assert!(long.len() <= MAX_SHOWN + CUT.len() && long.ends_with(CUT));
    }

    /// Letters of planted values, which nothing else in the statements has.
    const PLANTED: &str = "[QZXJ7-9]{8,40}";

    /// A value with what was planted in it, as SQL writes it.
    fn planted_value() -> impl Strategy<Value = (String, String)> {
        let odd = "[ -~\n\u{e9}]{0,6}";
        (PLANTED, odd, odd, 0..9_u8).prop_map(|(planted, before, after, kind)| {
            let text = format!("{before}{planted}{after}");
            let digits: String = planted.bytes().map(|byte| char::from(b'0' + byte % 10)).collect();
            match kind {
                0 => (planted, format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))),
                1 => (planted, format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))),
                2 => (planted, format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))),
                3 => (digits.clone(), digits),
                4 => (digits.clone(), format!("x'{digits}'")),
                5 => (digits.clone(), format!("0x{digits}")),
                6 => (planted, format!("/* {} */", text.replace('*', " "))),
                7 => (planted, format!("-- {}\n", text.replace('\n', " "))),
                // With NO_BACKSLASH_ESCAPES.
                _ => (planted, format!("'{}'", text.replace('\'', "''"))),
            }
        })
    }

    fn has_part(shown: &str, planted: &str) -> bool {
        planted.as_bytes().windows(4).any(|part| shown.as_bytes().windows(4).any(|other| other == part))
    }

    proptest! {
        #[test]
        fn no_planted_value_survives(
            values in prop::collection::vec(planted_value(), 1..6),
            words in prop::collection::vec("(select|where|and|a_b|`c`|=|in|\\(|\\)|,|_binary|\\*|;| )", 6),
            cut in 0.2..1.0_f64,
        ) {
            let mut sql = String::new();
            for (word, (_, value)) in words.iter().zip(&values) {
                sql.push_str(&format!("{word} {value} "));
            }
            // Servers cut long statements.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a position")]
            let length = (sql.chars().count() as f64 * cut).ceil() as usize;
            let sql: String = sql.chars().take(length).collect();
            let shown = redact(&sql);
            for (planted, _) in &values {
                prop_assert!(!has_part(&shown, planted), "{planted} of {sql:?} in {shown:?}");
            }
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let shown = redact(&text);
            prop_assert!(shown.len() <= MAX_SHOWN + CUT.len());
        }
    }
}
