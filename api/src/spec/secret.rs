use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All secrets that agents may enroll with. Applying replaces the list; hosts already enrolled are not affected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollSecretSpec {
    pub secrets: Vec<SecretSpec>,
}

/// One secret. Of a secret that is there already, what is not said of it stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// As Fleet 3.x has it: a secret that is not active is skipped with a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Written by the server, ignored on apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// From this time on no host may enroll with it: RFC 3339, such as `2027-01-31T00:00:00Z`, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// How many hosts have taken a place of the quota. Written by the server, ignored on apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts_enrolled: Option<u64>,
    /// Written by the server, ignored on apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
    /// Hosts are shown with the name of the secret that they enrolled with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The most hosts that may enroll with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<HostQuota>,
    pub secret: String,
}

impl SecretSpec {
    /// Whether a host may enroll with it at a time, as far as the spec says.
    pub fn admits(&self, now: DateTime<Utc>) -> bool {
        let has_expired = self.expires_at.as_deref().and_then(expiry).is_some_and(|end| end <= now);
        let is_used_up = match self.quota {
            Some(HostQuota::Hosts(most)) => self.hosts_enrolled.unwrap_or(0) >= u64::from(most),
            Some(HostQuota::Word(UnlimitedWord::Unlimited)) | None => false,
        };
        !has_expired && !is_used_up && self.active != Some(false)
    }
}

/// The time that the text of an expiry names.
pub fn expiry(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// The text of an expiry.
pub fn expiry_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A number of hosts, or the word `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expects a number of hosts, or the word unlimited")]
pub enum HostQuota {
    Hosts(u32),
    Word(UnlimitedWord),
}

/// The word for a secret that any number of hosts may enroll with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnlimitedWord {
    Unlimited,
}
