use std::collections::HashMap;

use muster_api::rest::Action;
use sea_orm::{Set, Unchanged};

use super::{ApplyRun, Located, of_kind};
use crate::fleet::queries::{check, row};
use crate::fleet::{Result, specs};
use crate::store::{self, entity::queries};

impl ApplyRun<'_> {
    pub(super) async fn queries(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Query).next().is_none() {
            return Ok(());
        }
        let rows = store::queries::all(self.tx).await?;
        let existing: HashMap<&str, &queries::Model> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        for (document, spec) in of_kind!(documents, Query) {
            check(|key| document.path(key), spec, &mut self.problems);
            let existing = existing.get(spec.name.as_str());
            let old = existing.map(|row| specs::query_spec((*row).clone()));
            let action = self.note(document, &spec.name, old.as_ref(), spec)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let mut query = row(spec, self.now);
            query.author_id = Set(Some(self.author_id));
            match existing {
                Some(existing) => {
                    query.id = Unchanged(existing.id);
                    store::queries::update(self.tx, query).await?;
                }
                None => {
                    query.created_at = Set(self.now);
                    store::queries::insert(self.tx, query).await?;
                }
            }
        }
        Ok(())
    }
}
