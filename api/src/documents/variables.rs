//! Environment variables in the texts of a file: `$NAME`, `${NAME}`, and `\$` for the sign itself.

use serde_json::Value;

use super::node::{YamlData, YamlNode};
use super::problem::{DocumentProblem, SourceText};
use super::read::written;

/// Puts the values of variables into all texts of a node. A text of one variable without quotes becomes a number or a boolean if
/// its value is one. Variables that are not set are problems.
pub(super) fn expand(
    node: &mut YamlNode,
    source: &SourceText,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<DocumentProblem>,
) {
    let at = node.at;
    match &mut node.data {
        YamlData::Scalar(value) => {
            let Value::String(text) = &*value else { return };
            if !text.contains('$') {
                return;
            }
            match expanded(text, variable) {
                Ok(text) => {
                    let plain = written(at, source).starts_with('$').then(|| plain_value(&text)).flatten();
                    *value = plain.unwrap_or(Value::String(text));
                }
                Err(name) => problems.push(DocumentProblem::at(
                    source,
                    at,
                    format!("the environment variable {name} is not set; set it, or write \\$ for the sign itself"),
                )),
            }
        }
        YamlData::Sequence(items) => items.iter_mut().for_each(|item| expand(item, source, variable, problems)),
        YamlData::Mapping(entries) => {
            entries.iter_mut().for_each(|entry| expand(&mut entry.value, source, variable, problems));
        }
    }
}

/// The value of a text that stands without quotes, if it is no text.
fn plain_value(text: &str) -> Option<Value> {
    match text {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        text => text.parse::<i64>().ok().map(Value::from),
    }
}

/// The text with values, or the name of the first variable that is not set.
fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        if let Some(kept) = before.strip_suffix('\\') {
            out.push_str(kept);
            out.push('$');
            rest = after;
            continue;
        }
        out.push_str(before);
        match name(after) {
            Some((name, behind)) => {
                out.push_str(&variable(name).ok_or_else(|| name.to_owned())?);
                rest = behind;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The name behind a `$`, and what follows it; `None` if there is no name.
fn name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let begin = braced.unwrap_or(text);
    let end = begin.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(begin.len());
    let (name, behind) = begin.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match braced {
        Some(_) => Some((name, behind.strip_prefix('}')?)),
        None => Some((name, behind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_other_signs_stay() {
        let variable = |name: &str| (name == "A" || name == "A_B1").then(|| format!("<{name}>"));
        for (text, expected) in [
            ("$A", "<A>"),
            ("x${A}y$A_B1.", "x<A>y<A_B1>."),
            (r"\$A \${A}", "$A ${A}"),
            ("'^a$' AND '$.key' = $1 ${ }", "'^a$' AND '$.key' = $1 ${ }"),
            ("$", "$"),
        ] {
            assert_eq!(expanded(text, &variable).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(expanded("$A$NONE", &variable), Err("NONE".to_owned()));
    }
}
