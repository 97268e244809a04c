use muster_api::rest::Action;
use muster_api::spec::QuerySpec;
use sea_orm::{Set, Unchanged};

use super::{ApplyRun, Located, of_kind};
use crate::fleet::queries::{check, row};
use crate::fleet::{Result, specs};
use crate::store::case::ByName;
use crate::store::{self, entity};

impl ApplyRun<'_> {
    pub(super) async fn queries(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Query).next().is_none() {
            return Ok(());
        }
        let rows = store::named::all::<entity::queries::Entity>(self.tx).await?;
        let existing: ByName<(i64, QuerySpec)> =
            rows.into_iter().map(|row| (row.name.clone(), (row.id, specs::query_spec(row)))).collect();
        for (document, spec) in of_kind!(documents, Query) {
            let spec = &spec.saved();
            check(|key| document.path(key), spec, &mut self.problems);
            let existing = existing.get(&spec.name);
            let id = existing.map_or(0, |(id, _)| *id);
            let action = self.note(document, (id, &spec.name), existing.map(|(_, old)| old), spec)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let mut query = row(spec, self.now);
            query.author_id = Set(self.author_id);
            match existing {
                Some((id, _)) => {
                    query.id = Unchanged(*id);
                    store::named::update(self.tx, query).await?;
                }
                None => {
                    query.created_at = Set(self.now);
                    let id = store::named::insert(self.tx, query).await?;
                    self.objects.identify_last(id);
                }
            }
        }
        Ok(())
    }
}
