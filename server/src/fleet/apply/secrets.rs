use std::collections::HashSet;

use muster_api::rest::Action;
use serde_json::json;

use super::{ApplyRun, Located, of_kind};
use crate::fleet::{Result, path};
use crate::store;

/// As the column is.
const MAX_SECRET: usize = 255;

impl ApplyRun<'_> {
    pub(super) async fn secrets(&mut self, documents: &[Located]) -> Result<()> {
        for (document, spec) in of_kind!(documents, EnrollSecret) {
            let mut wanted = HashSet::new();
            for (position, secret) in spec.secrets.iter().enumerate() {
                let path = path::member(&path::item(&document.path("secrets"), position), "secret");
                let text = secret.secret.as_str();
                if text.is_empty() || text.chars().count() > MAX_SECRET {
                    self.problem(path, format!("expects 1 to {MAX_SECRET} characters"));
                } else if text.trim() != text {
                    self.problem(path, "begins or ends with white space, which agents cut off; remove it");
                } else if !wanted.insert(text) {
                    self.problem(path, "stands in the list twice");
                }
            }
            let rows = store::secrets::all(self.tx).await?;
            let existing: HashSet<&str> = rows.iter().map(|row| row.secret.as_str()).collect();
            // The change must not tell what the secrets are, only that the list differs.
            let (old, new) = (json!({ "secrets": 0 }), json!({ "secrets": u8::from(existing != wanted) }));
            let action = self.note(document, "", Some(&old), &new)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let gone = rows.iter().filter(|row| !wanted.contains(row.secret.as_str())).map(|row| row.id).collect();
            store::secrets::delete(self.tx, gone).await?;
            for secret in &spec.secrets {
                if !existing.contains(secret.secret.as_str()) {
                    store::secrets::insert(self.tx, &secret.secret, self.now).await?;
                }
            }
        }
        Ok(())
    }
}
