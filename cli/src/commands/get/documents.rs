use std::fmt::Write as _;

use muster_api::rest::{DocumentsStatus, FolderOfNode};

use super::format::ReportFormat;
use crate::output;
use crate::rest::RestClient;

/// Letters of a commit or digest that are shown.
const SHORT: usize = 12;

pub async fn status(server: &RestClient, format: ReportFormat) -> anyhow::Result<()> {
    let found: DocumentsStatus = server.get("documents/status").await?;
    if format.printed(std::slice::from_ref(&found))? {
        return Ok(());
    }
    output::data(&render(&found))
}

fn render(status: &DocumentsStatus) -> String {
    let Some(folder) = &status.folder else {
        return "documents come from operators, not from a folder (documents.folder)\n".to_owned();
    };
    let mut text = format!("folder:  {folder}\n");
    let _ = match &status.applied {
        Some(applied) => {
            let at = applied.applied_at.format("%Y-%m-%d %H:%M:%S UTC");
            writeln!(text, "applied: {}, at {at}", which(applied.commit.as_deref(), &applied.digest))
        }
        None => writeln!(text, "applied: nothing yet"),
    };
    let _ = match &status.here {
        Some(FolderOfNode { is_applied: true, .. }) => writeln!(text, "here:    the same"),
        Some(here) => writeln!(text, "here:    {}", which(here.commit.as_deref(), &here.digest)),
        None => writeln!(text, "here:    cannot be read now"),
    };
    if let Some(waits_for) = &status.waits_for {
        let _ = writeln!(text, "waits:   for {waits_for}");
    }
    if let Some(problem) = &status.problem {
        let _ = writeln!(text, "problem: since {}", problem.since.format("%Y-%m-%d %H:%M:%S UTC"));
        for reason in &problem.reasons {
            let _ = writeln!(text, "  {reason}");
        }
    }
    text
}

fn which(commit: Option<&str>, digest: &str) -> String {
    let (what, id) = commit.map_or(("contents", digest), |commit| ("commit", commit));
    format!("{what} {}", id.get(..SHORT).unwrap_or(id))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use muster_api::rest::{AppliedContents, DocumentsProblem};

    use super::*;

    #[test]
    fn what_is_applied_and_what_is_not_stand_below_each_other() {
        let at: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().unwrap();
        assert!(render(&DocumentsStatus::default()).starts_with("documents come from operators"));
        let status = DocumentsStatus {
            folder: Some("/srv/fleet".to_owned()),
            applied: Some(AppliedContents { digest: "a".repeat(64), commit: Some("b".repeat(40)), applied_at: at }),
            here: Some(FolderOfNode { digest: "c".repeat(64), commit: None, is_applied: false }),
            problem: Some(DocumentsProblem { reasons: vec!["a.yml:1:2: wrong".to_owned()], since: at }),
            waits_for: None,
        };
        assert_eq!(
            render(&status),
            "folder:  /srv/fleet\napplied: commit bbbbbbbbbbbb, at 2026-01-15 12:00:00 UTC\nhere:    contents cccccccccccc\n\
             problem: since 2026-01-15 12:00:00 UTC\n  a.yml:1:2: wrong\n"
        );
    }
}
