use std::collections::HashMap;

use muster_api::rest::Action;
use muster_api::spec::QuerySpec;
use sea_orm::{Set, Unchanged};

use super::names::{check_description, check_name, check_sql};
use super::{Located, Run, of_kind};
use crate::fleet::Result;
use crate::store::{self, entity::queries};

impl Run<'_> {
    pub(super) async fn queries(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Query).next().is_none() {
            return Ok(());
        }
        let rows = store::queries::all(self.tx).await?;
        let existing: HashMap<&str, &queries::Model> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        for (document, spec) in of_kind!(documents, Query) {
            check_name(&document.place("name"), &spec.name, &mut self.problems);
            check_sql(&document.place("query"), &spec.query, &mut self.problems);
            check_description(&document.place("description"), &spec.description, &mut self.problems);
            let row = existing.get(spec.name.as_str());
            let old = row.map(|row| QuerySpec {
                description: row.description.clone(),
                name: row.name.clone(),
                observer_can_run: row.observer_can_run,
                query: row.query.clone(),
            });
            let action = self.note(document, &spec.name, old.as_ref(), spec)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let mut query = queries::ActiveModel {
                name: Set(spec.name.clone()),
                description: Set(spec.description.clone()),
                query: Set(spec.query.clone()),
                observer_can_run: Set(spec.observer_can_run),
                author_id: Set(Some(self.author_id)),
                updated_at: Set(self.now),
                ..Default::default()
            };
            match row {
                Some(row) => {
                    query.id = Unchanged(row.id);
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
