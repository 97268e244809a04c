use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::ReadError;
use super::scan::{self, JsonValue, ValueKind};

/// Columns kept of one detail table, the first ones. The widest of these tables has about twenty.
pub const MAX_COLUMNS: usize = 128;
/// The longest column name that is kept.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest value that is kept, the enroll secret and the host identifier included.
pub const MAX_VALUE_BYTES: usize = 4096;

/// The columns of one row, by name.
pub type Columns = BTreeMap<String, String>;

/// An enrollment request. No field is promised by agents: an absent or null one is `None`, an empty
/// one `Some("")`.
///
/// Values may be strings, numbers or booleans and are kept as text. Whatever is over a limit above,
/// or is a list or an object where a value belongs, is left out entirely and counted in `dropped`:
/// half an identifier could be mistaken for another host's.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Enroll {
    pub enroll_secret: Option<String>,
    /// Whatever the agent's `host_identifier` flag selects: a host name, a UUID, an instance id,
    /// any text.
    pub host_identifier: Option<String>,
    /// A bit mask in decimal, such as "9" for Linux.
    pub platform_type: Option<String>,
    pub host_details: HostDetails,
    /// How many values or columns of the body were left out.
    pub dropped: usize,
}

/// The first row of the tables an agent describes itself with; a table it did not send has no
/// columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostDetails {
    pub os_version: Columns,
    pub osquery_info: Columns,
    pub system_info: Columns,
    pub platform_info: Columns,
}

impl HostDetails {
    /// A column of a table. An empty one says no more than an absent one: `None`.
    pub fn get(&self, table: &str, column: &str) -> Option<&str> {
        let columns = match table {
            "os_version" => &self.os_version,
            "osquery_info" => &self.osquery_info,
            "system_info" => &self.system_info,
            "platform_info" => &self.platform_info,
            _ => return None,
        };
        columns.get(column).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl Enroll {
    pub fn read(body: &[u8]) -> Result<Self, ReadError> {
        let mut enroll = Self::default();
        let mut details = None;
        for member in scan::members(body) {
            let member = member?;
            let field = match member.key.text().as_deref() {
                Some("enroll_secret") => &mut enroll.enroll_secret,
                Some("host_identifier") => &mut enroll.host_identifier,
                Some("platform_type") => &mut enroll.platform_type,
                Some("host_details") => {
                    details = Some(member.value);
                    continue;
                }
                _ => continue,
            };
            *field = match member.value.kind() {
                ValueKind::Null => None,
                _ => bounded(member.value, MAX_VALUE_BYTES, &mut enroll.dropped),
            };
        }
        if let Some(details) = details {
            enroll.read_details(details);
        }
        Ok(enroll)
    }

    fn read_details(&mut self, details: JsonValue<'_>) {
        if details.kind() != ValueKind::Object && !details.is_empty() {
            self.dropped += 1;
        }
        for table in details.members() {
            let columns = match table.key.text().as_deref() {
                Some("os_version") => &mut self.host_details.os_version,
                Some("osquery_info") => &mut self.host_details.osquery_info,
                Some("system_info") => &mut self.host_details.system_info,
                Some("platform_info") => &mut self.host_details.platform_info,
                _ => continue,
            };
            *columns = read_columns(table.value, &mut self.dropped);
        }
    }
}

fn read_columns(row: JsonValue<'_>, dropped: &mut usize) -> Columns {
    if row.kind() != ValueKind::Object && !row.is_empty() {
        *dropped += 1;
    }
    let mut columns = Columns::new();
    for member in row.members() {
        let Some(name) = bounded(member.key, MAX_NAME_BYTES, dropped) else {
            continue;
        };
        let Some(value) = bounded(member.value, MAX_VALUE_BYTES, dropped) else {
            continue;
        };
        if columns.len() < MAX_COLUMNS || columns.contains_key(&name) {
            columns.insert(name, value);
        } else {
            *dropped += 1;
        }
    }
    columns
}

fn bounded(value: JsonValue<'_>, limit: usize, dropped: &mut usize) -> Option<String> {
    let text = value.text().filter(|text| text.len() <= limit).map(Cow::into_owned);
    if text.is_none() {
        *dropped += 1;
    }
    text
}

/// Leaves the secret out.
impl fmt::Debug for Enroll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enroll")
            .field("host_identifier", &self.host_identifier)
            .field("platform_type", &self.platform_type)
            .field("host_details", &self.host_details)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}
