//! What only MySQL 8 is asked. Its row locks are in `performance_schema`, as its view `sys.innodb_lock_waits` reads them.

use super::ask_mysql::DatabaseQuestion;

/// Statements that wait for row locks.
pub(super) const LOCKS: DatabaseQuestion = DatabaseQuestion {
    sql: "SELECT r.trx_id AS waiting_trx_id, r.trx_mysql_thread_id AS waiting_thread, \
        LEFT(r.trx_query, 4000) AS waiting_query, \
        TIMESTAMPDIFF(MICROSECOND, r.trx_wait_started, NOW(6)) AS waiting_us, \
        b.trx_id AS blocking_trx_id, b.trx_mysql_thread_id AS blocking_thread, \
        LEFT(b.trx_query, 4000) AS blocking_query, \
        TIMESTAMPDIFF(MICROSECOND, b.trx_started, NOW(6)) AS blocking_us, \
        CONCAT('`', l.OBJECT_SCHEMA, '`.`', l.OBJECT_NAME, '`') AS lock_table, l.INDEX_NAME AS lock_index, \
        l.LOCK_MODE AS lock_mode \
        FROM performance_schema.data_lock_waits w \
        JOIN information_schema.INNODB_TRX r ON r.trx_id = w.REQUESTING_ENGINE_TRANSACTION_ID \
        JOIN information_schema.INNODB_TRX b ON b.trx_id = w.BLOCKING_ENGINE_TRANSACTION_ID \
        JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = w.REQUESTING_ENGINE_LOCK_ID \
        AND l.ENGINE = w.ENGINE \
        ORDER BY r.trx_wait_started LIMIT 500",
    needs: &["PROCESS ON *.*", "SELECT ON performance_schema.*"],
};
