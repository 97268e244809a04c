//! The program that SQLite makes of a statement, and its plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::scratch::{Layout, Operation, ReadColumn, RootPage, Scratch};
use crate::tokens::tokens;

/// Operations that put a cursor somewhere by other means than a search in an index.
const GOES_THROUGH: [&str; 5] = ["Rewind", "Last", "Sort", "Count", "SorterSort"];

/// Operations that put a cursor where a key is.
const SEARCHES: [&str; 9] =
    ["SeekGE", "SeekGT", "SeekLE", "SeekLT", "SeekRowid", "NotExists", "Found", "NotFound", "NoConflict"];

/// Operations that open a cursor on a table or index.
const OPENS: [&str; 3] = ["OpenRead", "ReopenIdx", "OpenWrite"];

/// What SQLite has made of a statement.
pub(crate) struct Compiled {
    root_pages: Vec<RootPage>,
    program: Vec<Operation>,
    plan: Vec<Operation>,
}

impl Compiled {
    /// The program and plan of a statement, or of what it explains.
    pub fn of(layout: &Layout, sql: &str) -> rusqlite::Result<Self> {
        let scratch = Scratch::open(layout)?;
        let statement = without_explain(sql);
        Ok(Self {
            root_pages: scratch.root_pages()?,
            program: scratch.explain(&format!("EXPLAIN {statement}"))?,
            plan: scratch.explain(&format!("EXPLAIN QUERY PLAN {statement}"))?,
        })
    }

    /// The columns that the program reads, of a layout without indexes.
    pub fn columns(&self, layout: &Layout) -> BTreeSet<ReadColumn> {
        let mut read = BTreeSet::new();
        let mut open: BTreeMap<i64, &str> = BTreeMap::new();
        for Operation { word, numbers: [cursor, second, database] } in &self.program {
            if OPENS.contains(&&**word) {
                open.extend(self.root_page(*second, *database).map(|root_page| (*cursor, root_page.table.as_str())));
            } else if word == "Column"
                && let Some(table) = open.get(cursor)
                && let Some(columns) = layout.tables.get(*table)
                && let Some((column, _)) = usize::try_from(*second).ok().and_then(|at| columns.get(at))
            {
                read.insert(((*table).to_owned(), column.clone()));
            }
        }
        read
    }

    /// Whether the program comes to rows of a table by searches in its indexes alone, and does so at all.
    pub fn searches_only(&self, table: &str) -> bool {
        let Some(cursors) = self.cursors(table) else { return false };
        let mut is_searched = false;
        for (at, Operation { word, numbers: [cursor, ..] }) in self.program.iter().enumerate() {
            let (Some(kind), word) = (cursors.get(cursor), &**word) else { continue };
            if GOES_THROUGH.contains(&word) || (SEARCHES.contains(&word) && !is_search_in(*kind, &self.program, at)) {
                return false;
            }
            is_searched |= *kind == Cursor::Index && SEARCHES.contains(&word);
        }
        is_searched
    }

    /// The lines of the plan.
    pub fn plan(&self) -> impl Iterator<Item = &str> {
        self.plan.iter().map(|line| line.word.as_str())
    }

    /// The cursors of a table and of its indexes. `None` if one is of both.
    fn cursors(&self, table: &str) -> Option<BTreeMap<i64, Cursor>> {
        let mut cursors: BTreeMap<i64, Cursor> = BTreeMap::new();
        for Operation { word, numbers: [cursor, root, database] } in &self.program {
            if !OPENS.contains(&&**word) {
                continue;
            }
            let Some(root_page) = self.root_page(*root, *database).filter(|root_page| root_page.table == table) else {
                continue;
            };
            let kind = if root_page.index.is_some() { Cursor::Index } else { Cursor::Table };
            if cursors.insert(*cursor, kind).is_some_and(|before| before != kind) {
                return None;
            }
        }
        Some(cursors)
    }

    fn root_page(&self, root: i64, database: i64) -> Option<&RootPage> {
        self.root_pages.iter().find(|root_page| root_page.root == root && root_page.database == database)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    Table,
    Index,
}

/// Whether a search is one in an index, or one for the row that an index has found.
fn is_search_in(kind: Cursor, program: &[Operation], at: usize) -> bool {
    let Operation { word, numbers: [.., register] } = &program[at];
    match kind {
        Cursor::Index => word.starts_with("Seek") && word != "SeekRowid",
        Cursor::Table => {
            let writer = program[..at].iter().rev().find(|step| step.numbers[1] == *register);
            word == "SeekRowid" && writer.is_some_and(|step| step.word == "IdxRowid")
        }
    }
}

/// The statement that an `EXPLAIN` explains.
fn without_explain(sql: &str) -> &str {
    let tokens = tokens(sql);
    let first = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let skipped = match (first(0, "EXPLAIN"), first(1, "QUERY") && first(2, "PLAN")) {
        (true, true) => 3,
        (true, false) => 1,
        (false, _) => 0,
    };
    tokens.get(skipped).and_then(|token| sql.get(token.at..)).unwrap_or_default()
}
