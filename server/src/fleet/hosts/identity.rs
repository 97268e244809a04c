use muster_api::osquery::{Enroll, HostDetails};

use crate::config::HostIdentifier;
use crate::fleet::{Error, Result};

/// Longest identifier, so that one with an instance id behind it still fits its column.
const MAX_IDENTIFIER: usize = 180;

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
    pub(super) fn of(enroll: &Enroll, by: HostIdentifier) -> Result<Self> {
        let details: &HostDetails = &enroll.host_details;
        let provided = enroll.host_identifier.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let wanted = match by {
            HostIdentifier::Provided => provided,
            HostIdentifier::Instance => details.get("osquery_info", "instance_id"),
            HostIdentifier::Uuid => details.get("osquery_info", "uuid").or(details.get("system_info", "uuid")),
            HostIdentifier::Hostname => details.get("system_info", "hostname"),
        };
        let Some(identifier) = wanted.or(provided) else {
            return Err(Error::invalid(
                "host_identifier",
                "enroll failed: the host has no identifier; set --host_identifier",
            ));
        };
        if identifier.chars().count() > MAX_IDENTIFIER {
            return Err(Error::invalid(
                "host_identifier",
                format!("enroll failed: the identifier is longer than {MAX_IDENTIFIER} characters"),
            ));
        }
        let instance_id = details.get("osquery_info", "instance_id").unwrap_or_default();
        let instance_id =
            if instance_id.chars().count() > MAX_INSTANCE { String::new() } else { instance_id.to_owned() };
        Ok(Self { identifier: identifier.to_owned(), instance_id, is_stand_in: wanted.is_none() })
    }

    /// The identifier of a machine that had to be told apart from another one.
    pub(super) fn separated(&self) -> String {
        format!("{}#{}", self.identifier, self.instance_id)
    }
}
