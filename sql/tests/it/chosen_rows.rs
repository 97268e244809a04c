//! Statements made at random that the guard takes to choose their rows: rows that nobody has chosen change nothing in what they
//! answer.

use muster_sql::{AgentColumn, AgentTables, AskedSql, Effect, Guard, GuardRole, SqlKind};
use proptest::prelude::*;
use rusqlite::Connection;

const GUARD: &str = "
mode: enforce
rules:
  - {name: files, tables: [file], where: [path, directory], reason: reads all disks}
";

const TABLES: [(&str, &[(&str, &str)]); 3] = [
    ("file", &[("path", "TEXT"), ("directory", "TEXT"), ("size", "BIGINT")]),
    ("processes", &[("pid", "BIGINT"), ("path", "TEXT")]),
    ("users", &[("uid", "BIGINT"), ("directory", "TEXT")]),
];

const ROWS: &str = "
    INSERT INTO file VALUES ('/etc/a', '/etc', 1), ('/etc/b', '/etc', 2), ('/home/a', '/home', 3), ('/home/A', '/home', NULL);
    INSERT INTO processes VALUES (1, '/etc/a'), (2, '/home/a'), (3, NULL);
    INSERT INTO users VALUES (1, '/home'), (2, '/etc');
";

/// Rows with a path and directory that no statement and no other table names.
const OTHER_ROWS: &str = "
    INSERT INTO file VALUES ('other/1', 'other', 1), ('other/2', 'other', 2), ('Other', 'other', NULL), ('~', '~', 4),
        ('!', '!', 5), ('other/1', 'other', 1);
";

const TEXTS: [&str; 5] = ["'/etc/a'", "'/etc'", "'/home'", "'/home/A'", "'/nowhere'"];

const PATTERNS: [&str; 5] = ["'/etc/%'", "'%'", "'/%'", "'/home/%'", "'%a'"];

struct FilterMaker<'a> {
    choices: std::slice::Iter<'a, u8>,
    aliases: usize,
}

impl FilterMaker<'_> {
    fn choose(&mut self, of: usize) -> usize {
        usize::from(self.choices.next().copied().unwrap_or(0)) % of
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.choose(texts.len())]
    }

    /// A condition on rows of these sources.
    fn condition(&mut self, sources: &[(String, &str)], depth: usize) -> String {
        let (alias, kind) = sources[self.choose(sources.len())].clone();
        let column = match kind {
            "processes" => format!("{alias}.path"),
            "users" => format!("{alias}.directory"),
            _ => format!("{alias}.{}", self.one_of(&["path", "directory"])),
        };
        let text = self.one_of(&TEXTS);
        match self.choose(if depth == 0 { 11 } else { 19 }) {
            0 | 1 => format!("{column} = {text}"),
            2 => format!("{column} IN ({text}, {})", self.one_of(&TEXTS)),
            3 => format!("{column} LIKE {}", self.one_of(&PATTERNS)),
            4 => format!("{column} GLOB {}", self.one_of(&["'/etc/*'", "'*'", "'/*'"])),
            5 => format!("{column} {} {text}", self.one_of(&["<", ">", "<=", ">=", "!=", "IS", "IS NOT"])),
            6 => format!("{alias}.{} = {}", if kind == "file" { "size" } else { "rowid" }, self.choose(4)),
            7 => format!(
                "{}{column}{} = {text}",
                self.one_of(&["", "+"]),
                self.one_of(&["", " COLLATE NOCASE", " || ''"])
            ),
            8 => format!("{column} BETWEEN {text} AND {}", self.one_of(&TEXTS)),
            9 => format!("{column} IS {}NULL", self.one_of(&["", "NOT "])),
            10 | 11 => {
                let (other, kind) = sources[self.choose(sources.len())].clone();
                format!("{column} = {other}.{}", if kind == "users" { "directory" } else { "path" })
            }
            12 | 13 => format!("({} AND {})", self.condition(sources, depth - 1), self.condition(sources, depth - 1)),
            14 => format!("({} OR {})", self.condition(sources, depth - 1), self.condition(sources, depth - 1)),
            15 => format!("NOT {}", self.condition(sources, depth - 1)),
            16 => format!("{column} IN (SELECT path FROM processes)"),
            17 => format!("{column} IN ({})", self.query(depth - 1, "path")),
            _ => format!("EXISTS ({})", self.query(depth - 1, "1")),
        }
    }

    fn source(&mut self, depth: usize) -> (String, (String, &'static str)) {
        self.aliases += 1;
        let alias = format!("s{}", self.aliases);
        let (text, kind) = match self.choose(if depth == 0 { 5 } else { 8 }) {
            0 => ("processes".to_owned(), "processes"),
            1 => ("users".to_owned(), "users"),
            2..=4 => ("file".to_owned(), "file"),
            5 | 6 => (format!("({})", self.query(depth - 1, "*")), "file"),
            _ => (format!("({} UNION ALL {})", self.query(depth - 1, "*"), self.query(depth - 1, "*")), "file"),
        };
        (format!("{text} AS {alias}"), (alias, kind))
    }

    /// A query of files, alone.
    fn query(&mut self, depth: usize, columns: &str) -> String {
        self.aliases += 1;
        let alias = format!("s{}", self.aliases);
        let condition = self.condition(&[(alias.clone(), "file")], depth);
        let columns = if columns == "path" { format!("{alias}.path") } else { columns.to_owned() };
        let end = self.one_of(&["", "", "", " LIMIT 9"]);
        format!("SELECT {columns} FROM file AS {alias} WHERE {condition}{end}")
    }

    fn statement(&mut self) -> String {
        let (mut from, source) = self.source(2);
        let mut sources = vec![source];
        for _ in 0..self.choose(3) {
            let (text, source) = self.source(1);
            sources.push(source);
            let join = self.one_of(&["JOIN", "LEFT JOIN", "CROSS JOIN", "FULL JOIN"]);
            let condition = self.condition(&sources, 1);
            from = format!("{from} {join} {text} ON {condition}");
        }
        let columns: Vec<String> = sources.iter().map(|(alias, _)| format!("{alias}.*")).collect();
        let columns = [columns.join(", "), "count(*)".to_owned()][self.choose(2)].clone();
        format!("SELECT {columns} FROM {from} WHERE {}", self.condition(&sources, 2))
    }
}

fn database(rows: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for (name, columns) in TABLES {
        let columns: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        connection.execute_batch(&format!("CREATE TABLE {name}({})", columns.join(","))).unwrap();
    }
    connection.execute_batch(rows).unwrap();
    connection
}

/// The rows of an answer, in an order of their own.
fn answer(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let mut rows = rows.map(|row| row.map(|row| row.join(" "))).collect::<rusqlite::Result<Vec<_>>>()?;
    rows.sort();
    Ok(rows)
}

fn is_let_through(sql: &str) -> bool {
    let mut tables = AgentTables::default();
    for (name, columns) in TABLES {
        tables.add_table(name, columns.iter().map(|(name, kind)| AgentColumn::new(name, kind, false)));
    }
    let asked = AskedSql { sql, role: GuardRole::Admin, kind: SqlKind::Live, labels: None };
    Guard::parse(GUARD).unwrap().decide(&asked, &tables).effect == Effect::Allowed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_nobody_has_chosen_change_nothing(choices in prop::collection::vec(any::<u8>(), 4..60)) {
        let sql = FilterMaker { choices: choices.iter(), aliases: 0 }.statement();
        if is_let_through(&sql) {
            let (few, all) = (database(ROWS), database(&format!("{ROWS}{OTHER_ROWS}")));
            let (few, all) = (answer(&few, &sql).unwrap(), answer(&all, &sql).unwrap());
            prop_assert_eq!(few, all, "{}", sql);
        }
    }
}

#[test]
fn some_statements_made_at_random_are_let_through() {
    let choices: Vec<u8> = (0..400_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let made = (0..300).map(|from| FilterMaker { choices: choices[from..].iter(), aliases: 0 }.statement());
    let reads_files = made.filter(|sql| sql.contains("file"));
    let (through, refused): (Vec<_>, Vec<_>) = reads_files.partition(|sql| is_let_through(sql));
    assert!(through.len() > 20 && refused.len() > 20, "{} and {}", through.len(), refused.len());
}
