//! The bodies of the operators' REST API. Field names and nesting are those that Fleet's clients expect. Doc comments become
//! descriptions in docs/openapi.json.

mod account;
mod apply;
mod approval;
mod campaign;
mod carve;
pub mod debug;
mod documents;
mod envelope;
mod error;
mod explain;
mod host;
mod label;
mod live;
mod pack;
mod planned;
mod query;
mod rollout;
mod scheduled;
mod schema;
mod sent;
mod spec;
mod statistics;
mod translation;
mod user;

pub use account::{
    ChangeFreeze, FREEZE_OVERRIDE, LoggedIn, Login, Me, NewAdmin, OrgInfo, Role, SetUp, SetUpDone, User, Version,
};
pub use apply::{
    Action, Applied, Apply, ApplyPlan, ApplyPlanEnvelope, Change, FieldDifference, ListedPlan, NewPlan, PlanList,
    PlanSummary, ShownPlan, ShownPlanEnvelope, TouchedHosts,
};
pub use approval::{Approval, ApprovalEnvelope, ApprovalList, ApprovalState};
pub use campaign::{
    Campaign, CampaignEnvelope, CampaignMetrics, CampaignStatus, CampaignTotals, FoundTargets, LiveRun, LiveRunAnswer,
    LiveRunDone, LiveRunQuery, LiveRunSummary, NewCampaign, Selected, TargetCounts, TargetSearch, Targets,
};
pub use carve::{Carve, CarveBlockData, CarveBlockDigest, CarveEnvelope, CarveList, CarveStatus};
pub use documents::{AppliedContents, DocumentsProblem, DocumentsStatus, FolderOfNode};
pub use envelope::Enveloped;
pub use error::{ErrorBody, FieldError};
pub use explain::{AgentConfig, Explained, ExplainedQuery};
pub use host::{
    HostCount, HostDetail, HostEnvelope, HostFilters, HostLabel, HostList, HostPack, HostSearch, HostStatus,
    HostSummary, HostView, HostsToDelete, ParkedQuery, PlatformHosts,
};
pub use label::{Label, LabelEnvelope, LabelInput, LabelList, LabelSummaries, LabelSummary};
pub use live::{
    LiveAnswer, LiveBudget, LiveCanaries, LiveCost, LiveCounts, LiveGroup, LiveHost, LiveHosts, LiveQueries, LiveQuery,
    LiveQueryEnvelope, LiveRate, LiveStats, LiveStatus, LiveStreamEnd, LiveTargets, NewLiveQuery, Percentiles,
    TargetState,
};
pub use pack::{Pack, PackEnvelope, PackInput, PackList};
pub use planned::{
    BasisKind, BasisQuery, CostBasis, PlannedCosts, PlannedQuery, PlannedRuns, PlannedTotal, PredictedCost,
};
pub use query::{Deleted, Query, QueryEnvelope, QueryIds, QueryInput, QueryList, QueryPack};
pub use rollout::{
    GateReading, Rollout, RolloutDecision, RolloutEnvelope, RolloutHosts, RolloutList, RolloutStage, RolloutState,
};
pub use scheduled::{GlobalSchedule, Scheduled, ScheduledEnvelope, ScheduledInput, ScheduledQueries};
pub use schema::{FleetSchema, SchemaColumn, SchemaGroup, SchemaTable};
pub use spec::{
    AppliedSpecs, GlobalScheduleDocument, OptionsSpec, SecretsSpec, SpecByName, SpecList, UncheckedSecrets,
    UncheckedSpec, UserRoles,
};
pub use statistics::{
    BucketCost, CostPercentiles, Denylist, Denylisted, FleetCosts, FleetCount, FleetCounts, FleetQueryCost, GroupCost,
    HostQueryCost, HostStatistics, Impact, LabelCost, PackStats, QueryCostReport, QueryStats, RunCost,
    ScheduledQueryStats, StalledHost, StalledHosts, Suspect, WorkerRestart, WorkerRestarts, WorstHost,
};
pub use translation::{Translated, TranslatedName, Translation};
pub use user::{ChangePassword, NewUser, UserEdit, UserEnvelope, UserList};

/// Every REST path is served under each of these. The last is that of Fleet's predecessor, whose clients know no other.
pub const BASES: [&str; 4] = ["/api/v1/fleet", "/api/latest/fleet", "/api/2022-04/fleet", "/api/v1/kolide"];
