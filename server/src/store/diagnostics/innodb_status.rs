//! InnoDB's status without the values in it: contents of records are cut, statements are shown as everywhere, and of all
//! other lines only words that InnoDB itself writes, numbers and names of tables are shown.

use std::collections::HashSet;

use super::redact::redact;

/// Words of InnoDB's reports, of MariaDB 10.6 to 11.8 and MySQL 8, and the states of their threads, in lower case.
const WORDS: &str = "aborted access active adaptive adding affected after agents ahead aio allocated already also altering an and \
    anon any applying are array at auto autoinc average averages avg back background be because been before being below \
    binary binlog bit bits blocks bp buf buffer buffers bulk but by bytes c calculated can cannot case change changed check \
    checking checkpoint child chkp cleaned cleaning cleanup close closest closing cnt column command commit committed \
    committing compact completed compressed concurrency condition conflicting connection constraint contains copy copying \
    could count counter created creates creating cur current currently data database db dd ddl deadlock defined delete \
    deleted deletes deleting detected dictionary dict did dirty discarded disk do does done doing down dropped dump each \
    empty enabled encrypted end ending ended engine enough entries entry error estimating evicted exceeded exclusive \
    executing exists explicit fails feedback fetching field fields file files filesort filling find finished flags flush \
    flushed flushes flushing for foreign format free freeing from fsync fsyncs ftwrl full fulltext gap gets go got grant \
    granted group had handle has hash have heap held history hit hold holding holds i ibuf id idle if ignored implicit in \
    inc index indexes info init innodb input insert inserted inserting insertion inserts inside instant intention into is \
    isolation it its items kb key killed large last latch latches latest len length level like limit list listed load \
    localhost lock lock_mode locked locking locks log logs long loops lru lsn made main making mariadb match max maximum \
    mem memory merge merged merges mode modified monitor more most mutex my mysql n n_fields n_owned name need new next no \
    node nodes non none normal not notify number o observer of offset old on one only open opened opening operation \
    operations optimized optimizing or order os other others our out output over overall own p page page_cleaner pages \
    parent part partition pending per percent pessimistic physical pool pools position prefix prepare prepared preparing \
    prev primary print printed process processing progress purge purged purging query queries queue random rate ratio rbt \
    read reader reads rec recent reclaim record records recovered recovery redo reference references referenced relay \
    release releasing removing rename repair reset reserved reserving result results roll rollback rolled rolling \
    rounds row rows rw rw_lock running s scan scanned search searches sec second seconds section see sees segment select \
    selected semaphore semaphores sending sent serialisation sequence session set setting sets shared show shutdown since \
    single size slave sleep sleeping sorting source space spaces specified spin spins splits srv_active srv_idle \
    srv_master_thread srv_shutdown stage start started starting startup state statistics status stop stopped store struct \
    sum supremum sx sync synchronous system table tables tablespace temporary than that the there these this thread threads \
    through time timeout to too total total_large transaction transactions trigger truncate trx trying tuple two undo \
    unique unlock unlock_row until unzip unzip_lru up update updated updates updating upgrade us use used user using value \
    values version very view views virtual visible w wait waited waiters waiting waits was watch we were when where which \
    while will with within without work worker would write writer writes writing written x xa xid yet young youngs z zip";

/// Most bytes of a statement that are read.
const MAX_STATEMENT: usize = 8_000;

/// What follows a statement begins so.
const AFTER_STATEMENT: [&str; 9] = [
    "---",
    "*** ",
    "====",
    "RECORD LOCKS ",
    "TABLE LOCK ",
    "Trx ",
    "No read view",
    "Foreign key constraint fails",
    "Cannot ",
];

/// Lines that name tables.
const NAMES_TABLES: [&str; 8] = [
    "RECORD LOCKS ",
    "TABLE LOCK ",
    "Foreign key constraint fails",
    "But in parent table",
    "But in child table",
    "  CONSTRAINT ",
    "Trying to ",
    "CONSTRAINT ",
];

/// InnoDB's status as the database has told of it. Only [`InnodbStatus::redacted`] gives it out.
pub struct InnodbStatus(String);

impl std::fmt::Debug for InnodbStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InnodbStatus").field("bytes", &self.0.len()).finish()
    }
}

impl InnodbStatus {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The status without contents of records and values in statements. Words that InnoDB does not write are `?`. Takes some
    /// milliseconds for the megabyte that it can have.
    pub fn redacted(&self) -> String {
        let words: HashSet<&str> = WORDS.split_whitespace().collect();
        let (mut out, mut statement) = (String::new(), None::<String>);
        for line in self.0.lines() {
            if let Some(sql) = &mut statement {
                if !AFTER_STATEMENT.iter().any(|begins| line.starts_with(begins)) {
                    if sql.len() < MAX_STATEMENT {
                        sql.push('\n');
                        sql.push_str(line);
                    }
                    continue;
                }
                end_statement(statement.take(), &mut out);
            }
            if is_record_field(line) {
                continue;
            }
            out.push_str(&known_part(line, &words));
            out.push('\n');
            if line.contains(" thread id ") && line.contains(" query id ") {
                statement = Some(String::new());
            }
        }
        end_statement(statement, &mut out);
        out
    }
}

fn end_statement(sql: Option<String>, out: &mut String) {
    let shown = redact(sql.unwrap_or_default().trim());
    if !shown.is_empty() {
        out.push_str(&shown);
        out.push('\n');
    }
}

/// Whether the line is the content of a field, such as ` 0: len 4; hex 80000001; asc     ;;`.
fn is_record_field(line: &str) -> bool {
    let number = line.trim_start().split(':').next().unwrap_or_default();
    let is_numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_numbered && line.starts_with(' ')) || line.contains("; hex ") || line.contains("; asc ")
}

/// The line with `?` for each word that InnoDB does not write, up to a string; nothing if it has no other words.
fn known_part(line: &str, words: &HashSet<&str>) -> String {
    let strings = if line.starts_with("Purge done for trx's n:o ") { None } else { line.find(['\'', '"']) };
    let line = &line[..strings.unwrap_or(line.len())];
    let names_tables = NAMES_TABLES.iter().any(|begins| line.starts_with(begins));
    let is_time = line.len() > 10 && line.as_bytes()[4] == b'-' && line.as_bytes()[7] == b'-';
    let (mut out, mut rest, mut has_word, mut has_other) = (String::new(), line, is_time, false);
    let mut before = String::new();
    while let Some(first) = rest.chars().next() {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii();
        let length = if is_letter(first) {
            let length = rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len());
            let word = rest[..length].to_ascii_lowercase();
            let is_name = names_tables && (out.ends_with('`') || before == "index") && word.is_ascii();
            if words.contains(word.as_str()) || is_name {
                has_word = true;
                out.push_str(&rest[..length]);
            } else if is_number(&word) {
                has_other = true;
                out.push_str(&rest[..length]);
            } else {
                has_other = true;
                out.push('?');
            }
            before = word;
            length
        } else {
            if first.is_ascii() && !first.is_ascii_control() {
                out.push(first);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    if has_word || !has_other { out } else { String::new() }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix("0x");
    match digits {
        Some(digits) => digits.len() <= 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => word.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deadlock, a failed foreign key and a wait, as MariaDB 10.11 has told of them. Values in it are `planted…` and
    /// `secret…`; a string has a line of the kind that InnoDB writes.
    const SAMPLE: &str = include_str!("samples/innodb_status_of_mariadb_10_11.txt");

    #[test]
    fn a_status_is_shown_without_what_is_in_records_and_statements() {
        let shown = InnodbStatus::new(SAMPLE.to_owned()).redacted();
        for hidden in ["planted", "secret", "BBB", "; hex", "; asc", "77", "root", "id=2"] {
            assert!(SAMPLE.contains(hidden) && !shown.contains(hidden), "{hidden} in\n{shown}");
        }
        for kept in [
            "update p set v=? where id=?\n",
            "update p set v=…\n",
            "select * from p where id in (?, …) and v <> ? for update\n",
            "RECORD LOCKS space id 5 page no 3 n bits 320 index PRIMARY of table `d`.`p` trx id 30 lock_mode X locks rec but not gap waiting\n",
            "*** WE ROLL BACK TRANSACTION (1)\n",
            "MariaDB thread id 7, OS thread handle 140130825594560, query id 18 localhost ? Updating\n",
            "------- TRX HAS BEEN WAITING 1004204 us FOR THIS LOCK TO BE GRANTED:\n",
            "Buffer pool hit rate 883 / 1000, young-making rate 0 / 1000 not 0 / 1000\n",
            "END OF INNODB MONITOR OUTPUT\n",
        ] {
            assert!(shown.contains(kept), "{kept} not in\n{shown}");
        }
    }

    #[test]
    fn what_a_string_feigns_is_not_shown() {
        let feigned = "MariaDB thread id 7, OS thread handle 1, query id 18 localhost root Updating\n\
            update p set v='a\n---TRANSACTION 5, ACTIVE\nHunter2 is a word\n123456\n' where id=1\n";
        let shown = InnodbStatus::new(feigned.to_owned()).redacted();
        assert!(!shown.contains("Hunter2") && !shown.contains("123456"), "{shown}");
    }
}
