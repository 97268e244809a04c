//! `options`: the flags agents take from their config.

use serde_json::Value;

use super::cli_only::{alias_of, is_cli_only};
use super::known_flags::{KNOWN, Type, known};
use crate::fleet::findings::{Findings, nearest};

/// Agents take any flag that begins so; nothing is known of its type.
const CUSTOM: &str = "custom_";

pub(super) fn check(path: &str, options: &Value, found: &mut Findings<'_>) {
    for (here, flag, value) in found.members(path, options) {
        check_flag(&here, flag, value, found);
    }
}

fn check_flag(path: &str, flag: &str, value: &Value, found: &mut Findings<'_>) {
    if is_cli_only(flag) {
        check_cli_only(path, flag, value, found);
        return;
    }
    let known = known(flag);
    match value {
        Value::Null => found.problem(path, "has no value; give one or remove the key"),
        Value::Number(number) if number.is_f64() => {
            found.problem(path, "agents misread numbers with a decimal point; write a whole number");
        }
        Value::String(text) if text.is_empty() => {
            found.problem(path, "agents skip empty text, so it would change nothing; remove the key");
        }
        _ => {
            if let Some(known) = known.filter(|known| !known.kind.takes(value)) {
                found.problem(path, format!("expects {}", known.kind.expected()));
            } else if flag == "schedule_splay_percent" && matches!(super::parts::whole_number(value), Some(0 | 1)) {
                found.problem(path, "agents take 0 and 1 for the default of 10; write a number above 100 for no splay");
            }
        }
    }
    if known.is_none() && !flag.starts_with(CUSTOM) {
        let meant = nearest(flag, KNOWN.iter().map(|known| known.name));
        let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        found.warn(path, format!("not a flag known here, and agents ignore flags they do not know{hint}"));
    }
}

fn check_cli_only(path: &str, flag: &str, value: &Value, found: &mut Findings<'_>) {
    let written = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => "…".to_owned(),
    };
    let alias = alias_of(flag).map(|alias| format!(", or set {alias} here, which they do take")).unwrap_or_default();
    let reason = format!("agents take this only from their flagfile; put --{flag}={written} there{alias}");
    // It harms no agent, and files of other servers are full of it.
    found.warn(path, reason);
}

impl Type {
    /// Whether agents read the value as it is meant.
    fn takes(self, value: &Value) -> bool {
        const WORDS: [&str; 10] = ["true", "t", "1", "yes", "y", "false", "f", "0", "no", "n"];
        let is_within = |low: i128, high: i128| {
            let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
            number.or_else(|| value.as_str()?.parse().ok()).is_some_and(|number| (low..=high).contains(&number))
        };
        match self {
            Self::Bool => match value {
                Value::String(text) => WORDS.contains(&text.to_ascii_lowercase().as_str()),
                _ => value.is_boolean() || is_within(0, 1),
            },
            Self::Int32 => is_within(i32::MIN.into(), i32::MAX.into()),
            Self::UInt32 => is_within(0, u32::MAX.into()),
            Self::UInt64 => is_within(0, u64::MAX.into()),
            // Whole numbers become text.
            Self::Text => value.is_string() || value.is_number(),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int32 => "a whole number",
            Self::UInt32 | Self::UInt64 => "a whole number, 0 or more",
            Self::Text => "text",
        }
    }
}
