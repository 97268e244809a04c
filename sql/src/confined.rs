//! Whether a statement reads only chosen rows of a table.
//!
//! "Needs a WHERE" means: SQLite can answer the statement without ever going through all rows of the table, each time it reads of
//! it. SQLite itself says so. The table gets indexes on the columns that the rule names and on nothing else, SQLite compiles the
//! statement, and the program it has made is read: whoever goes through the table or an index from end to end, by number of row
//! or by an order, does not choose. What remains are searches by the columns: equality with a value, with a list, with what
//! another table or a subquery gives, and `LIKE` and `GLOB` with a pattern that begins with fixed letters.
//!
//! SQLite chooses by cost. A statement is confined if SQLite finds such a program with any of a few sets of indexes: each of them
//! proves that the rows are chosen. What SQLite cannot prove counts as not confined.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::Compiled;
use crate::reads::Analysis;
use crate::scratch::LaidIndex;
use crate::tokens::{Token, tokens};

/// Indexes that compare as `=` does, and as `LIKE` does. With fewer of them SQLite is not tempted to use one only for an order.
const COLLATIONS: [&[&str]; 3] = [&["BINARY"], &["NOCASE"], &["BINARY", "NOCASE"]];

/// What a table needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Needed<'a> {
    pub table: &'a str,
    /// Any of these columns, in small letters.
    pub columns: &'a [String],
    /// Fixed letters with which a pattern begins at least.
    pub prefix: usize,
}

/// Most needs of one table that are looked at; a statement confines no table to those beyond.
const MAX_NEEDS: usize = 8;

/// Which of these needs a statement does not meet. All tables are looked at in one program: of a join of two tables, SQLite could
/// go through either to search the other one.
pub(crate) fn unmet(analysis: &mut Analysis<'_>, needs: &[Needed<'_>]) -> BTreeSet<usize> {
    let mut of_tables: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, need) in needs.iter().enumerate() {
        of_tables.entry(need.table).or_default().push(at);
    }
    // Rows that an expression chooses by rows it has found before lead through the whole table.
    if analysis.is_recursive {
        return (0..needs.len()).collect();
    }
    let rounds = of_tables.values().map(Vec::len).max().unwrap_or(0);
    let mut unmet: BTreeSet<usize> = of_tables.values().flat_map(|of| of.iter().skip(MAX_NEEDS)).copied().collect();
    for round in 0..rounds.min(MAX_NEEDS) {
        let chosen: Vec<usize> = of_tables.values().map(|of| of[round.min(of.len() - 1)]).collect();
        let mut fewest: BTreeSet<usize> = chosen.iter().copied().collect();
        for collations in COLLATIONS {
            let failed = unmet_in(analysis, needs, &chosen, collations);
            if failed.len() < fewest.len() {
                fewest = failed;
            }
            if fewest.is_empty() {
                break;
            }
        }
        unmet.extend(fewest);
    }
    unmet
}

/// Which of the chosen needs are not met with indexes that compare in these ways.
fn unmet_in(
    analysis: &mut Analysis<'_>,
    needs: &[Needed<'_>],
    chosen: &[usize],
    collations: &[&'static str],
) -> BTreeSet<usize> {
    let all = || chosen.iter().copied().collect();
    if analysis.attempts == 0 {
        return all();
    }
    analysis.attempts -= 1;
    let mut layout = analysis.layout.clone();
    let columns =
        chosen.iter().map(|at| &needs[*at]).flat_map(|need| need.columns.iter().map(|column| (need.table, column)));
    for (table, column) in columns.filter(|(table, column)| analysis.layout.has_column(table, column)) {
        for collation in collations {
            let name = format!("guard{}", layout.indexes.len());
            layout.indexes.push(LaidIndex { name, table: table.to_owned(), column: column.clone(), collation });
        }
    }
    let Ok(compiled) = Compiled::of(&layout, analysis.statement) else { return all() };
    let is_met = |at: &usize| {
        let patterns = Patterns::of(analysis, needs[*at].prefix);
        let table = needs[*at].table;
        let mut indexes = layout.indexes.iter().filter(|index| index.table == table);
        compiled.searches_only(table)
            && indexes.all(|index| compiled.plan().all(|line| is_search_by(index, line, patterns)))
    };
    chosen.iter().copied().filter(|at| !is_met(at)).collect()
}

/// Where a search between two ends can come from only a pattern, so that SQLite's plan need not say which.
#[derive(Debug, Clone, Copy)]
struct Patterns {
    /// In an index that compares as `LIKE` does.
    like: bool,
    /// In an index that compares as `=` and `GLOB` do.
    glob: bool,
}

impl Patterns {
    fn of(analysis: &Analysis<'_>, prefix: usize) -> Self {
        let texts: Vec<&str> =
            std::iter::once(analysis.statement).chain(analysis.layout.views.values().map(String::as_str)).collect();
        let tokens: Vec<Token<'_>> = texts.into_iter().flat_map(tokens).collect();
        let has_word = |words: &[&str]| tokens.iter().any(|token| words.iter().any(|word| token.is_word(word)));
        let compares = tokens.iter().any(|token| ["<", "<=", ">", ">="].iter().any(|symbol| token.is_symbol(symbol)));
        // Whichever pattern SQLite has used: all of them begin with enough, or with nothing, and then SQLite cannot use them.
        // Between double quotes, too, SQLite finds a text where no such name is.
        let texts: Vec<String> = tokens.iter().filter_map(Token::quoted_text).collect();
        let is_long = |wild: &[char]| {
            let mut fixed = texts.iter().filter_map(|text| text.find(wild).map(|at| text[..at].chars().count()));
            fixed.all(|length| length == 0 || length >= prefix)
        };
        let is_plain = !has_word(&["COLLATE", "ESCAPE"]);
        Self {
            like: is_plain && is_long(&['%', '_']),
            glob: is_plain && !compares && !has_word(&["BETWEEN"]) && is_long(&['*', '?', '[']),
        }
    }
}

/// Whether a line of the plan uses an index for a search by its column, or not at all.
fn is_search_by(index: &LaidIndex, line: &str, patterns: Patterns) -> bool {
    let Some(terms) = terms(line, &index.name) else { return true };
    let column = &index.column;
    let is_equal = terms == format!("{column}=?") || terms.starts_with(&format!("{column}=? AND "));
    let is_between = terms == format!("{column}>? AND {column}<?");
    is_equal || (is_between && if index.collation == "NOCASE" { patterns.like } else { patterns.glob })
}

/// What a line of a plan says in parentheses of the use of an index. What people have written stands before it.
fn terms<'a>(line: &'a str, index: &str) -> Option<&'a str> {
    let name = format!("INDEX {index}");
    let at = line.rfind(&name)? + name.len();
    let rest = &line[at..];
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some(rest.strip_prefix(" (").and_then(|rest| rest.split_once(')')).map_or("", |(terms, _)| terms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentColumn, AgentTables};

    fn is_confined_in(sql: &str) -> bool {
        let mut tables = AgentTables::default();
        for (name, columns) in [
            ("file", "path:TEXT directory:TEXT filename:TEXT size:BIGINT"),
            ("processes", "pid:BIGINT path:TEXT name:TEXT"),
            ("users", "uid:BIGINT directory:TEXT"),
        ] {
            let column = |word: &str| {
                let (name, kind) = word.split_once(':').unwrap();
                AgentColumn::new(name, kind, false)
            };
            tables.add_table(name, columns.split(' ').map(column));
        }
        tables.add_view("etc", "SELECT * FROM file WHERE directory = '/etc'");
        tables.add_view("every", "SELECT * FROM file");
        let mut analysis =
            Analysis::of(sql, &tables, &BTreeMap::new()).unwrap_or_else(|unclear| panic!("{sql}: {unclear:?}"));
        let columns = ["directory".to_owned(), "path".to_owned()];
        unmet(&mut analysis, &[Needed { table: "file", columns: &columns, prefix: 4 }]).is_empty()
    }

    #[test]
    fn chosen_rows_are_confined() {
        for sql in [
            "SELECT * FROM file WHERE path = '/etc/passwd'",
            "SELECT * FROM file WHERE '/etc/passwd' = path ORDER BY size",
            "SELECT * FROM file WHERE path IN ('/a', '/b') AND size > 5",
            "SELECT * FROM file WHERE path LIKE '/etc/%' ORDER BY path",
            "SELECT * FROM file WHERE path LIKE '/etc/%%' AND filename LIKE '%.conf'",
            "SELECT * FROM file WHERE path GLOB '/etc/*'",
            "SELECT * FROM file WHERE path = '/a' OR directory = '/b'",
            "SELECT * FROM file WHERE path = '/a' OR directory LIKE '/home/%'",
            "SELECT f.* FROM processes p JOIN file f ON f.path = p.path",
            "SELECT f.* FROM file f JOIN processes p USING (path)",
            "SELECT count(*) FROM processes p LEFT JOIN file f ON f.path = p.path",
            "SELECT count(*), p.name FROM processes p LEFT JOIN file f ON f.path = p.path GROUP BY p.name ORDER BY 1",
            "SELECT * FROM users u, file f WHERE f.path = u.directory || '/.ssh/id_rsa'",
            "SELECT (SELECT size FROM file WHERE path = p.path) FROM processes p",
            "SELECT * FROM file WHERE path IN (SELECT path FROM processes)",
            "WITH f AS (SELECT * FROM file) SELECT * FROM f WHERE path = '/a'",
            "SELECT * FROM (SELECT path FROM file UNION ALL SELECT directory FROM file WHERE directory = '/') WHERE path = '/a'",
            "SELECT * FROM etc",
            "SELECT * FROM every WHERE path = '/a'",
            "EXPLAIN SELECT * FROM file WHERE path = '/a'",
            "SELECT * FROM file a JOIN file b ON a.path = b.directory WHERE a.path = '/a'",
            "SELECT max(size) FROM file WHERE directory = '/tmp'",
        ] {
            assert!(is_confined_in(sql), "{sql}");
        }
    }

    #[test]
    fn rows_that_nobody_has_chosen_are_not() {
        for sql in [
            "SELECT * FROM file",
            "SELECT count(*) FROM file",
            "SELECT min(path) FROM file",
            "SELECT * FROM file ORDER BY path LIMIT 1",
            "SELECT * FROM file WHERE size = 1",
            "SELECT * FROM file WHERE path = path",
            "SELECT * FROM file WHERE path != ''",
            "SELECT * FROM file WHERE path IS NOT NULL",
            "SELECT * FROM file WHERE path > ''",
            "SELECT * FROM file WHERE path > 'a' AND path < 'z'",
            "SELECT * FROM file WHERE path BETWEEN '' AND 'zzz'",
            "SELECT * FROM file WHERE path COLLATE NOCASE > '' AND path COLLATE NOCASE < 'zzz'",
            "SELECT * FROM file WHERE path LIKE '%'",
            "SELECT * FROM file WHERE path LIKE '/%'",
            "SELECT * FROM file WHERE path LIKE '%passwd'",
            "SELECT * FROM file WHERE path LIKE 'aaaa%' ESCAPE 'a'",
            "SELECT * FROM file WHERE path LIKE \"/%\"",
            "SELECT * FROM file WHERE path GLOB '/*'",
            "SELECT * FROM file WHERE path || '' = '/a'",
            "SELECT * FROM file WHERE +path = '/a'",
            "SELECT * FROM file WHERE path = '/a' OR 1",
            "SELECT * FROM file WHERE path = '/a' OR size = 1",
            "SELECT * FROM file WHERE NOT path = '/a'",
            "SELECT * FROM file WHERE path IN (SELECT path FROM file)",
            "SELECT * FROM file a JOIN file b ON a.path = b.path",
            "SELECT * FROM file WHERE path = (SELECT path FROM file LIMIT 1)",
            "SELECT * FROM file f LEFT JOIN processes p ON f.path = '/a'",
            "SELECT * FROM file f CROSS JOIN processes p ON f.path = p.path",
            "SELECT * FROM file WHERE rowid = 1",
            "SELECT * FROM file WHERE rowid IN (1, 2, 3) AND size = 1",
            "SELECT * FROM file WHERE path = '/a' UNION SELECT * FROM file",
            "SELECT * FROM every",
            "SELECT * FROM (SELECT * FROM file LIMIT -1 OFFSET 0) WHERE path = '/a'",
            "SELECT * FROM file \"f USING INDEX guard0 (path=?)\"",
            "SELECT * FROM file \"f USING INDEX guard0 (path=?)\" WHERE path > '' AND path < 'zz'",
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM file)",
            "SELECT * FROM file, json_each('[\"/\"]') j WHERE file.size = j.value",
            "EXPLAIN QUERY PLAN SELECT * FROM file",
        ] {
            assert!(!is_confined_in(sql), "{sql}");
        }
    }

    #[test]
    fn one_program_meets_the_needs_of_all_tables() {
        let mut tables = AgentTables::default();
        for name in ["file", "hash"] {
            tables.add_table(name, ["path", "size"].map(|column| AgentColumn::new(column, "TEXT", false)));
        }
        let (path, size) = (["path".to_owned()], ["size".to_owned()]);
        let needs = [("file", &path), ("hash", &path), ("file", &size)].map(|(table, columns)| Needed {
            table,
            columns: columns.as_slice(),
            prefix: 4,
        });
        let unmet = |sql: &str| {
            let mut analysis = Analysis::of(sql, &tables, &BTreeMap::new()).unwrap();
            unmet(&mut analysis, &needs).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(unmet("SELECT * FROM file f JOIN hash h USING (path) WHERE f.path = '/a' AND f.size = 5"), [0; 0]);
        assert_eq!(unmet("SELECT * FROM file f JOIN hash h USING (path) WHERE f.path = '/a'"), [2]);
        assert!(!unmet("SELECT * FROM file f JOIN hash h USING (path)").is_empty());
        assert!(!unmet("SELECT * FROM file f JOIN hash h ON f.path = h.path AND f.size = h.size").is_empty());
    }
}
