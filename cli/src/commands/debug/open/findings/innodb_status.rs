//! What the status of InnoDB, as text, says of transactions.

/// A transaction that has begun and has not ended.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    pub connection: u64,
    pub row_locks: usize,
}

/// The transactions that are open and have a connection.
pub fn open_transactions(status: &str) -> impl Iterator<Item = OpenTransaction> {
    status.split("---TRANSACTION ").skip(1).filter_map(|part| {
        let (head, _) = part.split_once('\n')?;
        if !head.contains("ACTIVE ") {
            return None;
        }
        // `MySQL thread id 45, …` or `MariaDB thread id 45, …`
        let (_, rest) = part.split_once("thread id ")?;
        let connection = rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
        let row_locks =
            part.split_once(" row lock(s)").and_then(|(before, _)| before.rsplit([' ', '\n']).next()?.parse().ok());
        Some(OpenTransaction { connection, row_locks: row_locks.unwrap_or(0) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_read_as_both_databases_write_them() {
        let status = "TRANSACTIONS\nTrx id counter 790\nLIST OF TRANSACTIONS FOR EACH SESSION:\n\
            ---TRANSACTION 784, ACTIVE 30 sec\n2 lock struct(s), heap size 1128, 122 row lock(s), undo log entries 1\n\
            MariaDB thread id 45, OS thread handle 1, query id 9 localhost root\n\
            ---TRANSACTION 421, not started\n0 lock struct(s), heap size 1128, 0 row lock(s)\n\
            ---TRANSACTION 785, ACTIVE 3 sec starting index read\nmysql tables in use 1, locked 1\n\
            LOCK WAIT 2 lock struct(s), heap size 1128, 1 row lock(s)\nMySQL thread id 46, OS thread handle 2, query id 10 x y\n";
        let found: Vec<_> = open_transactions(status).collect();
        let open = |connection, row_locks| OpenTransaction { connection, row_locks };
        assert_eq!(found, [open(45, 122), open(46, 1)]);
    }
}
