//! Paths to parts of a document, such as `documents[2].spec.schedule["odd name"].interval`. Clients split them again to
//! find line and column, so every path is put together here.

use std::fmt::Write as _;

/// The path of a member. Ambiguous keys stand in brackets and quotes.
pub fn member(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !key.chars().all(|c| c.is_ascii_digit());
    if is_plain {
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    } else {
        format!("{path}[{}]", serde_json::Value::from(key))
    }
}

/// The path of an element of a list.
pub fn item(path: &str, position: usize) -> String {
    format!("{path}[{position}]")
}

/// The path at which a deserializer failed.
pub fn of_error(base: &str, path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = base.to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                let _ = write!(text, "[{index}]");
            }
            Segment::Map { key } => text = member(&text, key),
            Segment::Enum { variant } => text = member(&text, variant),
            // serde does not say what lies below.
            Segment::Unknown => break,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_keys_stand_in_quotes() {
        assert_eq!(member("spec", "file_paths-2"), "spec.file_paths-2");
        assert_eq!(member("", "spec"), "spec");
        assert_eq!(member("decorators.interval", "3600"), r#"decorators.interval["3600"]"#);
        assert_eq!(member("views", "a.b \"c\""), r#"views["a.b \"c\""]"#);
        assert_eq!(member("views", ""), r#"views[""]"#);
        assert_eq!(item(&member("views", "ü"), 3), r#"views["ü"][3]"#);
    }
}
