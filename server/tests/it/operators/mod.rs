//! Operators beside agents: the pool that does their work, readers of long answers, and an address of their own.

mod address;
mod closed;
mod freezes;
mod pool;
mod read_only;
mod readers;
