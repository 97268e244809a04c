//! What the operators' REST API speaks. Field names and nesting are those existing Fleet clients expect.

mod account;
mod apply;
mod campaign;
mod error;
mod explain;
mod host;
mod live;
mod spec;

pub use account::{LoggedIn, Login, Me, NewAdmin, OrgInfo, Role, SetUp, SetUpDone, User, Version};
pub use apply::{Action, Applied, Apply, Change};
pub use campaign::{
    Campaign, CampaignEnvelope, CampaignMetrics, CampaignStatus, CampaignTotals, NewCampaign, Selected,
};
pub use error::{ErrorBody, FieldError};
pub use explain::{Explained, ExplainedQuery};
pub use host::{Host, HostCount, HostDetail, HostEnvelope, HostLabel, HostPack, HostStatus, Hosts, ParkedQuery};
pub use live::{
    LiveAnswer, LiveCost, LiveCounts, LiveHost, LiveHosts, LiveQueries, LiveQuery, LiveQueryEnvelope, LiveStats,
    LiveStatus, LiveTargets, NewLiveQuery, Percentiles, TargetState,
};
pub use spec::{SecretsSpec, SpecByName, Specs};

/// Every REST path is served under each of these.
pub const BASES: [&str; 3] = ["/api/v1/fleet", "/api/latest/fleet", "/api/2022-04/fleet"];
