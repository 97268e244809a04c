//! What agents have, as the checks of SQL take it.

use std::sync::Arc;
use std::time::Duration;

use muster_sql::{AgentColumn, AgentTables};

use super::AgentSchemas;
use super::learnt::LearntSchema;
use crate::clock::Moment;
use crate::fleet::Result;

/// Time for which the tables of all agents are taken as they were read. A table that is new counts a little later.
const READ_EVERY: Duration = Duration::from_secs(10);

/// The tables of all agents, as they were read last.
#[derive(Debug, Default)]
pub(super) struct KnownTables(tokio::sync::Mutex<Option<ReadTables>>);

#[derive(Debug)]
struct ReadTables {
    read_at: Moment,
    schema: Arc<LearntSchema>,
    tables: Arc<AgentTables>,
}

impl AgentSchemas {
    /// The tables and columns that count in any agent group. The same value as long as nothing has changed.
    ///
    /// # Errors
    /// When the database does not answer, or while hosts are still being read.
    pub(in crate::fleet) async fn agent_tables(&self) -> Result<Arc<AgentTables>> {
        let now = self.clock.now();
        let mut known = self.tables.0.lock().await;
        if let Some(known) = known.as_ref().filter(|known| now.since(known.read_at) < READ_EVERY) {
            return Ok(Arc::clone(&known.tables));
        }
        let schema = self.learnt(&self.groups().await?).await?;
        let tables = match known.take() {
            Some(known) if Arc::ptr_eq(&known.schema, &schema) => known.tables,
            _ => Arc::new(tables_of(&schema)),
        };
        *known = Some(ReadTables { read_at: now, schema, tables: Arc::clone(&tables) });
        Ok(tables)
    }
}

fn tables_of(schema: &LearntSchema) -> AgentTables {
    let mut tables = AgentTables::default();
    for (name, table) in schema.values().flat_map(|group| &group.tables).filter(|(_, table)| table.is_agreed) {
        let agreed = table.columns.iter().filter(|column| column.is_agreed);
        tables
            .add_table(name, agreed.map(|column| AgentColumn::new(&column.name, column.kind.word(), column.is_hidden)));
    }
    tables
}
