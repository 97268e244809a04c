use muster_api::rest::Action;
use muster_api::spec::SpecDocument;
use serde_json::{Map, Value, json};

use super::{ApplyRun, Located, to_value};
use crate::fleet::schedule::{Lasting, check_agent_options, load_retired};
use crate::fleet::{Problem, Result, path, specs};
use crate::store::{host_lists, settings};

/// The parts of the configuration with the keys of each; agent options have their own check.
const PARTS: [(&str, &[&str]); 2] = [("org_info", &["org_name", "org_logo_url"]), ("server_settings", &["server_url"])];

/// Longest text of a setting, in bytes.
const MAX_TEXT: usize = 4096;

impl ApplyRun<'_> {
    pub(super) async fn config(&mut self, documents: &[Located]) -> Result<()> {
        for document in documents {
            let change = match &document.spec {
                SpecDocument::Config(config) => {
                    check_config(&document.root(), config, &mut self.problems, &mut self.warnings);
                    config.clone()
                }
                SpecDocument::Options(options) => {
                    let path = document.root();
                    check_agent_options(&path, options, &mut self.problems, &mut self.warnings);
                    json!({ "agent_options": options })
                }
                _ => continue,
            };
            let old = specs::app_config(self.tx).await?;
            let mut new = old.clone();
            merge(&mut new, change);
            new.sort_all_objects();
            let action = self.note(document, "", Some(&old), &new)?;
            if action != Action::Unchanged && self.problems.is_empty() {
                settings::set(self.tx, settings::APP_CONFIG, &new, self.now).await?;
                let path = match &document.spec {
                    SpecDocument::Options(_) => document.root(),
                    _ => document.path("agent_options"),
                };
                self.retire(&path, &old, &new).await?;
            }
        }
        Ok(())
    }

    /// Records removed options, because hosts still have their values.
    async fn retire(&mut self, path: &str, old: &Value, new: &Value) -> Result<()> {
        let (old, new) = (&old["agent_options"], &new["agent_options"]);
        // Without hosts no agent has a value to unset.
        if old == new || host_lists::count(self.tx, &host_lists::HostFilter::default()).await? == 0 {
            return Ok(());
        }
        let (before, _) = load_retired(self.tx).await?.at(self.now);
        let (retired, lasting) = before.after(old, new, self.now);
        settings::set(self.tx, settings::RETIRED_OPTIONS, &to_value(&retired)?, self.now).await?;
        for Lasting { platform, flag } in lasting {
            let document = match platform {
                Some(platform) => path::member(&format!("{path}.overrides.platforms"), &platform),
                None => format!("{path}.config"),
            };
            let reason = "removed, but agents keep its value until they restart, and the server has no default to send instead; put the key back with the value you want";
            self.warnings.push(Problem::new(path::member(&format!("{document}.options"), &flag), reason));
        }
        Ok(())
    }
}

fn check_config(path: &str, config: &Value, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let Some(parts) = config.as_object() else {
        problems.push(Problem::new(path, "expects an object"));
        return;
    };
    for (key, value) in parts {
        let path = path::member(path, key);
        if key == "agent_options" {
            check_agent_options(&path, value, problems, warnings);
        } else if let Some((_, keys)) = PARTS.iter().find(|(part, _)| part == key) {
            check_texts(&path, value, keys, problems);
        } else {
            let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
            problems.push(Problem::new(path, format!("unknown key; known are agent_options, {}", known.join(", "))));
        }
    }
}

fn check_texts(path: &str, value: &Value, keys: &[&str], problems: &mut Vec<Problem>) {
    let Some(members) = value.as_object() else {
        problems.push(Problem::new(path, "expects an object"));
        return;
    };
    for (key, value) in members {
        let path = path::member(path, key);
        if !keys.contains(&key.as_str()) {
            problems.push(Problem::new(path, format!("unknown key; known are {}", keys.join(", "))));
        } else if value.as_str().is_none_or(|text| text.len() > MAX_TEXT) {
            problems.push(Problem::new(path, format!("expects text of at most {MAX_TEXT} bytes")));
        }
    }
}

/// Merges `change` into `config`, part by part. Agent options are replaced as a whole, so that options removed from the
/// file are no longer served.
fn merge(config: &mut Value, change: Value) {
    let (Value::Object(config), Value::Object(change)) = (config, change) else { return };
    for (key, value) in change {
        match (config.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if key != "agent_options" => old.extend(new),
            (_, value) => {
                config.insert(key, with_overrides(value));
            }
        }
    }
}

/// Agent options always have both `config` and `overrides`.
fn with_overrides(mut options: Value) -> Value {
    if let Some(parts) = options.as_object_mut()
        && parts.contains_key("config")
    {
        let overrides = parts.entry("overrides").or_insert(Value::Null);
        if overrides.is_null() {
            *overrides = Value::Object(Map::new());
        }
    }
    options
}
