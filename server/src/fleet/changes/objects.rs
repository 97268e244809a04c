//! What an activity changes, object by object, as it is kept with it.

use serde_json::Value;

use super::fields::ChangedFields;
use crate::fleet::Result;
use crate::fleet::specs::to_value;
use crate::store::object_changes::NewObjectChange;

/// Most bytes of values that are kept of one activity. Objects beyond are named without them.
const MAX_ACTIVITY: usize = 1 << 20;

/// A kind of object whose changes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    Query,
    Pack,
    Label,
    /// The configuration, agent options included. There is one, under the id 0.
    Config,
}

impl ObjectKind {
    pub const ALL: [Self; 4] = [Self::Query, Self::Pack, Self::Label, Self::Config];

    /// The word under which changes are kept.
    pub fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Pack => "pack",
            Self::Label => "label",
            Self::Config => "config",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A change of one object. Without `before` it is new, without `after` it is gone.
#[derive(Debug)]
pub struct ObjectChange {
    pub kind: ObjectKind,
    pub id: i64,
    pub name: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// The name of a saved query, and its SQL, which is new.
#[derive(Debug)]
pub struct SavedSql {
    pub name: String,
    pub sql: String,
}

/// The changes of one activity. Takes no more memory than what is kept, and the SQL of saved queries.
#[derive(Debug, Default)]
pub struct ObjectChanges {
    kept: Vec<NewObjectChange>,
    bytes: usize,
    saved: Vec<SavedSql>,
}

impl ObjectChanges {
    /// Adds a change, unless nothing differs.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn add(&mut self, change: ObjectChange) -> Result<()> {
        let fields = ChangedFields::between(change.before.as_ref(), change.after.as_ref());
        self.add_compared(change, fields).map(drop)
    }

    /// As [`ObjectChanges::add`], with what differs. Gives what is kept of that.
    ///
    /// # Errors
    /// The same.
    pub fn add_compared(&mut self, change: ObjectChange, fields: ChangedFields) -> Result<ChangedFields> {
        let action = match (&change.before, &change.after) {
            (None, None) => return Ok(ChangedFields::default()),
            (None, Some(_)) => "created",
            (Some(_), None) => "deleted",
            (Some(_), Some(_)) if fields.is_empty() => return Ok(fields),
            (Some(_), Some(_)) => "changed",
        };
        if change.kind == ObjectKind::Query {
            self.saved.extend(new_sql(&change));
        }
        let mut room = MAX_ACTIVITY.saturating_sub(self.bytes);
        let had = room;
        let fields = fields.kept(change.kind == ObjectKind::Config, &mut room);
        self.bytes += had - room;
        let (kind, object_id, name) = (change.kind.word(), change.id, change.name);
        self.kept.push(NewObjectChange { kind, object_id, name, action, fields: to_value(&fields)?.to_string() });
        Ok(fields)
    }

    /// Gives the object that was added last the id that it has got.
    pub fn identify_last(&mut self, id: i64) {
        if let Some(last) = self.kept.last_mut() {
            last.object_id = id;
        }
    }

    /// Adds those of another list behind these.
    pub fn append(&mut self, mut others: Self) {
        self.bytes += others.bytes;
        self.kept.append(&mut others.kept);
        self.saved.append(&mut others.saved);
    }

    /// Takes the SQL of changes that will be made later.
    pub fn save_later(&mut self, mut others: Self) {
        self.saved.append(&mut others.saved);
    }

    /// Saved queries with new SQL.
    pub(super) fn take_saved(&mut self) -> Vec<SavedSql> {
        std::mem::take(&mut self.saved)
    }

    pub(super) fn take(&mut self) -> Vec<NewObjectChange> {
        std::mem::take(&mut self.kept)
    }
}

fn new_sql(change: &ObjectChange) -> Option<SavedSql> {
    let sql = |value: &Option<Value>| Some(value.as_ref()?.get("query")?.as_str()?.to_owned());
    let after = sql(&change.after)?;
    (sql(&change.before).as_ref() != Some(&after)).then(|| SavedSql { name: change.name.clone(), sql: after })
}
