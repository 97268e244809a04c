//! The tokens of a statement, cut where SQLite cuts them.

/// What a token is. White space and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes, backquotes or brackets. SQLite takes double quotes for a text where no such name is.
    Quoted,
    /// A text in single quotes. SQLite takes it for a name where only a name can stand.
    Text,
    Semicolon,
    /// Numbers, operators, parameters and what SQLite does not know.
    Symbol,
}

/// A token and where it begins, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub kind: TokenKind,
    pub text: &'a str,
    pub at: usize,
}

impl Token<'_> {
    /// The name, if it can be one: without quotes and in small letters, as SQLite compares names.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_ascii_lowercase()),
            TokenKind::Quoted | TokenKind::Text => Some(unquoted(self.text).to_ascii_lowercase()),
            TokenKind::Semicolon | TokenKind::Symbol => None,
        }
    }

    /// Whether it is this keyword, which is never quoted.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// What stands between quotes of any kind.
    pub fn quoted_text(&self) -> Option<String> {
        matches!(self.kind, TokenKind::Text | TokenKind::Quoted).then(|| unquoted(self.text))
    }
}

/// The tokens of a text, whatever it holds.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (end, kind) = next(bytes, at);
        if let (Some(kind), Some(text)) = (kind, sql.get(at..end)) {
            found.push(Token { kind, text, at });
        }
        at = end;
    }
    found
}

/// The end of what begins at `at`, and what it is; `None` for white space and comments.
fn next(bytes: &[u8], at: usize) -> (usize, Option<TokenKind>) {
    let byte = |offset: usize| bytes.get(at + offset).copied().unwrap_or(0);
    let symbol = |length: usize| ((at + length).min(bytes.len()), Some(TokenKind::Symbol));
    match byte(0) {
        b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' => (at + 1, None),
        // A mark of byte order is white space to SQLite.
        0xef if byte(1) == 0xbb && byte(2) == 0xbf => (at + 3, None),
        b'-' if byte(1) == b'-' => (ends_at(bytes, at + 2, |rest| rest.starts_with(b"\n"), 1), None),
        b'/' if byte(1) == b'*' && byte(2) != 0 => (ends_at(bytes, at + 2, |rest| rest.starts_with(b"*/"), 2), None),
        b'-' if byte(1) == b'>' => symbol(if byte(2) == b'>' { 3 } else { 2 }),
        b'<' if matches!(byte(1), b'=' | b'>' | b'<') => symbol(2),
        b'>' if matches!(byte(1), b'=' | b'>') => symbol(2),
        b'=' | b'!' if byte(1) == b'=' => symbol(2),
        b'|' if byte(1) == b'|' => symbol(2),
        b';' => (at + 1, Some(TokenKind::Semicolon)),
        b'\'' => (quote_end(bytes, at, b'\''), Some(TokenKind::Text)),
        quote @ (b'"' | b'`') => (quote_end(bytes, at, quote), Some(TokenKind::Quoted)),
        b'[' => (ends_at(bytes, at + 1, |rest| rest.starts_with(b"]"), 1), Some(TokenKind::Quoted)),
        b'x' | b'X' if byte(1) == b'\'' => (quote_end(bytes, at + 1, b'\''), Some(TokenKind::Symbol)),
        b'0'..=b'9' => (number_end(bytes, at), Some(TokenKind::Symbol)),
        b'.' if byte(1).is_ascii_digit() => (number_end(bytes, at), Some(TokenKind::Symbol)),
        b'?' | b':' | b'@' | b'#' | b'$' => (word_end(bytes, at + 1), Some(TokenKind::Symbol)),
        first if is_name_byte(first) => (word_end(bytes, at), Some(TokenKind::Word)),
        _ => symbol(1),
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn word_end(bytes: &[u8], from: usize) -> usize {
    from + bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| is_name_byte(**byte)).count())
}

fn number_end(bytes: &[u8], from: usize) -> usize {
    let is_sign_of_exponent = |at: usize| {
        matches!(bytes.get(at), Some(b'+' | b'-'))
            && matches!(bytes.get(at - 1), Some(b'e' | b'E'))
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && !matches!(bytes.get(from + 1), Some(b'x' | b'X'))
    };
    let mut at = from + 1;
    while bytes.get(at).is_some_and(|byte| is_name_byte(*byte) || *byte == b'.') || is_sign_of_exponent(at) {
        at += 1;
    }
    at
}

/// The end of what begins with a quote at `at`; two quotes in a row stand for one.
fn quote_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        end += 1;
        if *byte == quote {
            if bytes.get(end) != Some(&quote) {
                return end;
            }
            end += 1;
        }
    }
    bytes.len()
}

/// The first place from `from` on where `is_end` holds, and `length` more; the end of the text if there is none.
fn ends_at(bytes: &[u8], from: usize, is_end: impl Fn(&[u8]) -> bool, length: usize) -> usize {
    let is_at = |at: &usize| bytes.get(*at..).is_some_and(&is_end);
    (from..bytes.len()).find(is_at).map_or(bytes.len(), |at| at + length)
}

fn unquoted(text: &str) -> String {
    let mut chars = text.chars();
    let Some(quote) = chars.next() else { return String::new() };
    let closing = if quote == '[' { ']' } else { quote };
    let inner = chars.as_str();
    let inner = inner.strip_suffix(closing).unwrap_or(inner);
    if quote == '[' { inner.to_owned() } else { inner.replace(&format!("{quote}{quote}"), &quote.to_string()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).iter().map(|token| token.text).collect()
    }

    #[test]
    fn tokens_are_cut_as_sqlite_cuts_them() {
        assert_eq!(texts("select/**/a.b,'it''s'"), ["select", "a", ".", "b", ",", "'it''s'"]);
        assert_eq!(texts("a--b\nc/*d*/e/* open"), ["a", "c", "e"]);
        assert_eq!(texts("[a b]`c``d`\"e\"\"f\""), ["[a b]", "`c``d`", "\"e\"\"f\""]);
        assert_eq!(
            texts("1e+5 0x1F x'00' ?1 :a .5>=<>||->>"),
            ["1e+5", "0x1F", "x'00'", "?1", ":a", ".5", ">=", "<>", "||", "->>"]
        );
        assert_eq!(texts("1-2;é\u{a0}x"), ["1", "-", "2", ";", "é\u{a0}x"]);
        assert_eq!(texts("/*/ a */ b /*"), ["b", "/", "*"]);
        assert_eq!(tokens("\"A\"\"b\"")[0].name().unwrap(), "a\"b");
        assert_eq!(tokens("[Curl]")[0].name().unwrap(), "curl");
        assert_eq!(tokens("'open")[0].quoted_text().unwrap(), "open");
    }

    proptest! {
        #[test]
        fn tokens_stand_in_order_whatever_the_text_is(sql in "[-/*'\"\\[\\]`;.a-z0-9x \n\u{e9}]{0,60}") {
            let mut end = 0;
            for token in tokens(&sql) {
                prop_assert!(token.at >= end && !token.text.is_empty());
                end = token.at + token.text.len();
            }
            prop_assert!(end <= sql.len());
        }
    }
}
