//! What only MariaDB is asked.

use super::ask_mysql::DatabaseQuestion;

/// Statements that wait for row locks.
pub(super) const LOCKS: DatabaseQuestion = DatabaseQuestion {
    sql: "SELECT r.trx_id AS waiting_trx_id, r.trx_mysql_thread_id AS waiting_thread, \
        LEFT(r.trx_query, 4000) AS waiting_query, \
        TIMESTAMPDIFF(MICROSECOND, r.trx_wait_started, NOW(6)) AS waiting_us, \
        b.trx_id AS blocking_trx_id, b.trx_mysql_thread_id AS blocking_thread, \
        LEFT(b.trx_query, 4000) AS blocking_query, \
        TIMESTAMPDIFF(MICROSECOND, b.trx_started, NOW(6)) AS blocking_us, \
        l.lock_table AS lock_table, l.lock_index AS lock_index, l.lock_mode AS lock_mode \
        FROM information_schema.INNODB_LOCK_WAITS w \
        JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id \
        JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id \
        LEFT JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id \
        AND l.lock_trx_id = w.requesting_trx_id \
        ORDER BY r.trx_wait_started LIMIT 500",
    needs: &["PROCESS ON *.*"],
};
