use std::collections::BTreeSet;

use muster_api::rest::Action;
use muster_api::spec::DocumentKind;
use serde_json::json;

use super::{ApplyRun, Located, of_kind};
use crate::fleet::{Result, path};
use crate::store;

/// As the column is.
const MAX_SECRET: usize = 255;

impl ApplyRun<'_> {
    pub(super) async fn secrets(&mut self, documents: &[Located]) -> Result<()> {
        for (document, spec) in of_kind!(documents, EnrollSecret) {
            let mut wanted = BTreeSet::new();
            for (position, secret) in spec.secrets.iter().enumerate() {
                let at = path::item(&document.path("secrets"), position);
                if secret.active == Some(false) {
                    self.warn(
                        path::member(&at, "active"),
                        "skipped: the secret is not active, so no host may enroll with it",
                    );
                    continue;
                }
                if secret.name.is_some() {
                    let name = "secrets.name".to_owned();
                    self.skipped.add(
                        DocumentKind::EnrollSecret,
                        name,
                        &path::member(&at, "name"),
                        "secrets have no names here",
                    );
                }
                let at = path::member(&at, "secret");
                let text = secret.secret.trim_end_matches(['\r', '\n']);
                if text != secret.secret {
                    self.warn(
                        at.clone(),
                        "the line end is left out, as agents leave it out; write the secret on one line",
                    );
                }
                if text.is_empty() || text.chars().count() > MAX_SECRET {
                    self.problem(at, format!("expects 1 to {MAX_SECRET} characters"));
                } else if text.trim() != text {
                    self.problem(at, "begins or ends with white space, which agents cut off; remove it");
                } else if !wanted.insert(text) {
                    self.problem(at, "stands in the list twice");
                }
            }
            let rows = store::secrets::all(self.tx).await?;
            let existing: BTreeSet<&str> = rows.iter().map(|row| row.secret.as_str()).collect();
            if wanted.is_empty() && spec.secrets.iter().any(|secret| secret.active == Some(false)) {
                self.problem(
                    document.path("secrets"),
                    "has inactive secrets alone, so no host could enroll any more; make one active, or send an empty list to \
                     remove all",
                );
            }
            // The change must not tell what the secrets are, only that the list differs.
            let (old, new) = (json!({ "secrets": 0 }), json!({ "secrets": u8::from(existing != wanted) }));
            let action = self.note(document, "", Some(&old), &new)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let gone = rows.iter().filter(|row| !wanted.contains(row.secret.as_str())).map(|row| row.id).collect();
            store::secrets::delete(self.tx, gone).await?;
            for secret in wanted.difference(&existing) {
                store::secrets::insert(self.tx, secret, self.now).await?;
            }
        }
        Ok(())
    }
}
