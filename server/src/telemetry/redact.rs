//! Cuts out of a text what may be secret, whoever wrote it: everything that is logged or told of failures passes here. Error
//! texts of databases and parsers quote values, addresses carry passwords, and bodies name their secrets.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

/// Stands where something was cut out.
const CUT: &str = "********";

/// Shorter passwords are words that texts contain by chance.
const MIN_HIDDEN: usize = 6;

/// Most texts that are hidden; there is one for each setting with a password.
const MAX_HIDDEN: usize = 32;

/// Values in the error texts of databases and parsers: what stands between these.
const QUOTED: [(&str, &str); 8] = [
    ("Duplicate entry '", "' for key"),
    (" value: '", "' for "),
    ("Truncated incorrect ", "' at row"),
    (" near '", "' at line"),
    ("string \"", "\", expected"),
    ("string \\\"", "\\\", expected"),
    ("string \\\\\\\"", "\\\\\\\", expected"),
    ("unknown variant `", "`, expected"),
];

/// Names whose values are secret wherever they stand, as in `node_key=…` or `"password": "…"`.
const SECRET_NAMES: [&str; 8] =
    ["password", "passwd", "node_key", "secret", "token", "authorization", "cookie", "private_key"];

/// Passwords of the configuration.
static HIDDEN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Cuts this text out from now on. One of fewer than six bytes is not, as it may be a part of words.
pub fn hide(secret: &str) {
    let mut hidden = HIDDEN.write().unwrap_or_else(PoisonError::into_inner);
    let in_json = serde_json::Value::from(secret).to_string();
    for form in [secret, in_json.trim_matches('"')] {
        if form.len() >= MIN_HIDDEN && hidden.len() < MAX_HIDDEN && !hidden.iter().any(|known| known == form) {
            hidden.push(form.to_owned());
        }
    }
}

/// The text without what may be secret.
pub fn redacted(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for hidden in HIDDEN.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if text.contains(hidden) {
            text = Cow::Owned(text.replace(hidden, CUT));
        }
    }
    for (begin, end) in QUOTED {
        // In JSON such a quote is escaped; one that is not ends a member.
        let is_text = !text.starts_with('{') || begin != "string \"";
        let mut at = 0;
        while is_text && let Some((from, to)) = quoted(&text, at, begin, end) {
            text.to_mut().replace_range(from..to, CUT);
            at = from + CUT.len();
        }
    }
    if text.contains("://") {
        cut_passwords(&mut text);
    }
    cut_named(&mut text);
    text
}

/// From the first `begin` to the last `end` of a line, or of a string in JSON: a value may contain both.
fn quoted(text: &str, at: usize, begin: &str, end: &str) -> Option<(usize, usize)> {
    let mut from = at;
    loop {
        from += text[from..].find(begin)? + begin.len();
        if let Some(length) = within_string(text, &text[from..]).rfind(end) {
            return Some((from, from + length));
        }
    }
}

/// The rest of a line, or in JSON of the string that it begins in.
fn within_string<'a>(text: &str, rest: &'a str) -> &'a str {
    if text.starts_with('{') { &rest[..end_of_string(rest).unwrap_or(rest.len())] } else { rest }
}

/// Cuts what stands between the user and the host of addresses such as `redis://user:password@host`.
fn cut_passwords(text: &mut Cow<'_, str>) {
    let mut at = 0;
    while let Some(found) = text[at..].find("://") {
        at += found + "://".len();
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\');
        let length = text[at..].find(ends).unwrap_or(text.len() - at);
        let address = &text[at..at + length];
        if let Some((user, _)) = address.rsplit_once('@')
            && let Some((name, _)) = user.split_once(':')
        {
            let (from, to) = (at + name.len() + 1, at + user.len());
            text.to_mut().replace_range(from..to, CUT);
        }
    }
}

fn cut_named(text: &mut Cow<'_, str>) {
    for name in SECRET_NAMES {
        let mut at = 0;
        while let Some(found) = find_ignoring_case(&text[at..], name) {
            at += found + name.len();
            if let Some((from, to)) = value_after(text, at) {
                text.to_mut().replace_range(from..to, CUT);
                at = from + CUT.len();
            }
        }
    }
}

fn find_ignoring_case(text: &str, name: &str) -> Option<usize> {
    text.as_bytes().windows(name.len()).position(|window| window.eq_ignore_ascii_case(name.as_bytes()))
}

/// The value that a name which ends here has, if it has one: up to the quote that ends it, or the end of a word.
fn value_after(text: &str, at: usize) -> Option<(usize, usize)> {
    let is_member = text[at..].starts_with("\":");
    let rest =
        text[at..].trim_start_matches(['"', '\'', '\\', '`']).trim_start_matches(' ').strip_prefix(['=', ':'])?;
    let rest = rest.trim_start_matches([' ', '[', '{']);
    // As values of structs are written for debugging.
    let rest = rest.strip_prefix("Some(").unwrap_or(rest);
    let (quote, rest) = match rest.find(|c: char| c != '\\') {
        // An even number of backslashes escapes themselves.
        Some(length) if length % 2 == 0 && length > 0 && rest[length..].starts_with('"') => return None,
        Some(length) if rest[length..].starts_with(['"', '\'', '`']) => rest.split_at(length + 1),
        _ => ("", rest),
    };
    // A line in JSON must stay JSON: numbers stay, and a bare quote is that of a member's value or ends a string.
    let is_json = text.starts_with('{');
    if is_json && is_member != (quote == "\"") {
        return None;
    }
    let begin = text.len() - rest.len();
    let rest = within_string(text, rest);
    let scheme = ["Bearer ", "bearer ", "Basic ", "NodeKey "].into_iter().find_map(|scheme| rest.strip_prefix(scheme));
    let (begin, rest) = scheme.map_or((begin, rest), |after| (begin + rest.len() - after.len(), after));
    let length = match quote {
        "" => rest.find(|c: char| c.is_whitespace() || "\"'\\`,&})];".contains(c)),
        "\"" => end_of_string(rest),
        quote => rest.find(quote),
    };
    let length = length.unwrap_or(rest.len());
    (length > 0).then_some((begin, begin + length))
}

/// The first quote that is not escaped.
fn end_of_string(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| match byte {
        _ if is_escaped => {
            is_escaped = false;
            false
        }
        b'\\' => {
            is_escaped = true;
            false
        }
        byte => byte == b'"',
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_in_error_texts_are_cut_out_and_the_rest_stays() {
        let cases = [
            (
                "Duplicate entry 'it's planted' for key 'enroll_secrets.secret'",
                "Duplicate entry '********' for key 'enroll_secrets.secret'",
            ),
            (
                "1366 (22007): Incorrect string value: 'planted' for column `fleet`.`hosts`.`name` at row 1",
                "1366 (22007): Incorrect string value: '********' for column `fleet`.`hosts`.`name` at row 1",
            ),
            ("invalid type: string \"planted\", expected a map", "invalid type: string \"********\", expected a map"),
            (
                "cannot connect to mysql://muster:pl@nted/1@db.example.com:3306/fleet: refused",
                "cannot connect to mysql://muster:********@db.example.com:3306/fleet: refused",
            ),
            ("redis://:planted@127.0.0.1/1 and http://a@b/", "redis://:********@127.0.0.1/1 and http://a@b/"),
            (r#"{"node_key":"planted","n":1}"#, r#"{"node_key":"********","n":1}"#),
            (r#"body="{\"enroll_secret\": \"planted\"}""#, r#"body="{\"enroll_secret\": \"********\"}""#),
            (r#"{"password": "plan\"ted, too", "n": 1}"#, r#"{"password": "********", "n": 1}"#),
            (r#"body="{\"password\": [\"planted, too\"]}""#, r#"body="{\"password\": [\"********\"]}""#),
            (r#"{"token":5,"secret":["planted"]}"#, r#"{"token":5,"secret":["********"]}"#),
            ("GET /?enroll_secret=planted&x=1", "GET /?enroll_secret=********&x=1"),
            ("Authorization: Bearer planted", "Authorization: Bearer ********"),
            ("password = planted, n = 1", "password = ********, n = 1"),
            (r#"Enrollment { node_key: Some("planted"), n: 1 }"#, r#"Enrollment { node_key: Some("********"), n: 1 }"#),
            ("token: Some(planted), n: None", "token: Some(********), n: None"),
            (
                "the token of its page is missing; secrets: none given",
                "the token of its page is missing; secrets: none given",
            ),
            (
                "no such pack: 'linux' (see http://127.0.0.1:8080/packs)",
                "no such pack: 'linux' (see http://127.0.0.1:8080/packs)",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn passwords_of_the_configuration_are_cut_out_wherever_they_stand() {
        hide("planted-in-the-configuration");
        hide("short");
        assert_eq!(redacted("a planted-in-the-configuration b"), "a ******** b");
        assert_eq!(redacted("a short b"), "a short b");
    }

    proptest! {
        #[test]
        fn a_line_of_json_stays_one(key in "[a-z_]{1,12}", text in ".{0,60}", secret in "(password|node_key|string|://u)?.{0,20}") {
            let line = serde_json::json!({ "fields": { (key): text, "error": secret, "node_key": text } }).to_string();
            let redacted = redacted(&line).into_owned();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&redacted).is_ok(), "{redacted}");
        }
    }
}
