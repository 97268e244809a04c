use muster_api::osquery::{Enroll, HostDetails};

use crate::config::HostIdentifier;
use crate::fleet::{Error, Result};

/// Longest identifier, so that one with an instance id behind it still fits its column.
pub(super) const MAX_IDENTIFIER: usize = 180;

/// Longest instance id kept.
const MAX_INSTANCE: usize = 64;

/// The identity a host claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostIdentity {
    pub identifier: String,
    /// Distinguishes machines that share the identifier. Empty if the agent did not send it.
    pub instance_id: String,
    /// The agent did not send the identifier that the configuration chooses.
    pub is_stand_in: bool,
}

impl HostIdentity {
    /// Reads the identity from an enrollment. Without the configured identifier, the agent's own `host_identifier`
    /// counts.
    pub(super) fn of<'a>(enroll: &'a Enroll, by: HostIdentifier) -> Result<Self> {
        let details: &'a HostDetails = &enroll.host_details;
        // MySQL takes texts that differ in spaces at the end for the same.
        let trimmed = |text: Option<&'a str>| text.map(str::trim).filter(|text| !text.is_empty());
        let provided = trimmed(enroll.host_identifier.as_deref());
        let said = |table, column| trimmed(details.get(table, column));
        let wanted = match by {
            HostIdentifier::Provided => provided,
            HostIdentifier::Instance => said("osquery_info", "instance_id"),
            HostIdentifier::Uuid => said("osquery_info", "uuid").or(said("system_info", "uuid")),
            HostIdentifier::Hostname => said("system_info", "hostname"),
        };
        let Some(identifier) = wanted.or(provided) else {
            return Err(Error::invalid("host_identifier", "the host has no identifier; set --host_identifier"));
        };
        if identifier.chars().count() > MAX_IDENTIFIER {
            return Err(Error::invalid(
                "host_identifier",
                format!("the identifier is longer than {MAX_IDENTIFIER} characters"),
            ));
        }
        let instance_id = said("osquery_info", "instance_id").unwrap_or_default();
        let instance_id =
            if instance_id.chars().count() > MAX_INSTANCE { String::new() } else { instance_id.to_owned() };
        Ok(Self { identifier: identifier.to_owned(), instance_id, is_stand_in: wanted.is_none() })
    }

    /// The identifier of a machine that had to be told apart from another one.
    pub(super) fn separated(&self) -> String {
        format!("{}#{}", self.identifier, self.instance_id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spaces_at_the_ends_make_no_other_host() {
        let claimed = |end: &str, by| {
            let said = json!({
                "host_identifier": format!("web{end}"),
                "host_details": {
                    "osquery_info": { "instance_id": format!("one{end}"), "uuid": format!("a{end}") },
                    "system_info": { "hostname": format!("{end}host{end}") },
                },
            });
            HostIdentity::of(&Enroll::read(said.to_string().as_bytes()).unwrap(), by).unwrap()
        };
        for (by, identifier) in [
            (HostIdentifier::Provided, "web"),
            (HostIdentifier::Instance, "one"),
            (HostIdentifier::Uuid, "a"),
            (HostIdentifier::Hostname, "host"),
        ] {
            let trimmed = claimed(" ", by);
            assert_eq!(trimmed, claimed("", by));
            assert_eq!((trimmed.identifier.as_str(), trimmed.instance_id.as_str()), (identifier, "one"));
        }
    }
}
