//! Warnings about the SQL of documents. Looking at it takes time for each document, so it is done before the transaction.

use muster_api::spec::{LabelMembership, LabelType, SpecDocument};

use super::Located;
use crate::fleet::{Problem, path, sql};

/// Names every text that agents probably cannot run.
pub(super) fn doubts(documents: &[Located]) -> Vec<Problem> {
    let doubt = |at: String, text: &str| sql::doubt(text).map(|reason| Problem::new(at, reason));
    let mut doubts = Vec::new();
    for document in documents {
        match &document.spec {
            SpecDocument::Query(query) => doubts.extend(doubt(document.path("query"), &query.query)),
            SpecDocument::Label(label)
                if label.label_membership_type == LabelMembership::Dynamic
                    && label.label_type != LabelType::Builtin =>
            {
                doubts.extend(doubt(document.path("query"), &label.query));
            }
            SpecDocument::Pack(pack) => {
                let at = document.path("discovery");
                let texts = pack.discovery.iter().enumerate();
                doubts.extend(texts.filter_map(|(position, text)| doubt(path::item(&at, position), text)));
            }
            // The check of agent options looks at their SQL; documents of rollouts are read when the rollout begins.
            SpecDocument::Label(_)
            | SpecDocument::GlobalSchedule(_)
            | SpecDocument::Config(_)
            | SpecDocument::Options(_)
            | SpecDocument::EnrollSecret(_)
            | SpecDocument::UserRoles(_)
            | SpecDocument::Rollout(_) => {}
        }
    }
    doubts
}
