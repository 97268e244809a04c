//! From where on something is worth saying, and why there.

/// A wait of a request in seconds. Agents hang up after 16 s, and a healthy server waits some milliseconds for anything.
pub const LONG_WAIT: f64 = 1.0;

/// Seconds for which the first waits for a place in a full pool. A burst, such as that of the collection itself, is over by then.
pub const BURST_WAIT: f64 = 0.25;

/// Seconds of a request that is not known to wait for anything. Exports and follows of live queries may take so long, too.
pub const LONG_REQUEST: f64 = 10.0;

/// Seconds of a run of a periodic task. Those that take longest, of large fleets, take some seconds.
pub const LONG_TASK: f64 = 60.0;

/// The longest wait since the start, in seconds. Some happen when a node starts; agents still get their answer in time.
pub const LONGEST_WAIT_EVER: f64 = 5.0;

/// The part of a bound from which on a burst can reach it.
pub const NEAR_BOUND: f64 = 0.8;

/// Seconds for which a statement waits for a lock. The server gives statements 5 s.
pub const LOCK_WAIT: f64 = 0.5;

/// Seconds that a statement runs. Statements of Muster are made for less than one.
pub const LONG_STATEMENT: i64 = 5;

/// Seconds that a statement takes on average, over all its runs.
pub const SLOW_STATEMENT: f64 = 0.5;

/// Old versions of rows that InnoDB has to keep. From here on reads slow down; a transaction that was left open is the cause.
pub const LONG_HISTORY: u64 = 100_000;

/// Microseconds of a command of Redis, which runs one command at a time: every other one waits meanwhile.
pub const SLOW_COMMAND: u64 = 100_000;

/// Bytes of a write-ahead log of SQLite. It is about 4 MB, unless a reader keeps it from being emptied.
pub const LARGE_WAL: u64 = 256 << 20;

/// Seconds within which a node has started for that to be worth a look: nobody may know that it did.
pub const JUST_STARTED: f64 = 600.0;

/// Days before the end of a certificate. Renewals by ACME come 30 days before.
pub const CERTIFICATE_DAYS: f64 = 14.0;

/// The part of the processors from which on agents wait for their turn.
pub const BUSY_PROCESSORS: f64 = 0.8;

/// The part of the memory in use that the allocator holds beyond it, and the least bytes of that to be worth a word.
pub const UNUSED_MEMORY: f64 = 1.0;
pub const MUCH_MEMORY: u64 = 512 << 20;

/// Findings of one kind that are told one by one.
pub const TOLD: usize = 5;

/// Seconds after which an error that was not logged again is history: what is broken fails again within a minute.
pub const OLD_ERROR: i64 = 60;

/// Seconds for which a connection does nothing in an open transaction that holds rows. The server gives statements 5 s, and does
/// nothing else within a transaction.
pub const IDLE_TRANSACTION: i64 = 5;

/// MiB of all tables from which on their sizes are worth a word.
pub const MUCH_DATA: u64 = 10;
