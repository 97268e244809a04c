//! What SQL for agents reads.
//!
//! SQLite itself is asked, on an empty database with the tables that agents have: it knows what an alias, an expression, a view
//! or a quoted name means. Every function here is pure, and bounded for whatever text: [`check`] says whether a text is one
//! statement that only reads, [`reads`] what it reads and what nobody knows, [`lacking`] which hosts lack it, and a [`Guard`]
//! whether somebody may ask it.

mod agent_tables;
mod alike;
mod check;
mod confined;
mod fleet;
mod guard;
mod program;
mod reads;
mod scratch;
mod size;
mod tokens;

pub use agent_tables::{AgentColumn, AgentTables};
pub use alike::normalised;
pub use check::{MAX_SQL_BYTES, check, doubt};
pub use fleet::{FleetLack, GroupTables, LackedName, lacking};
pub use guard::{
    AskedSql, DEFAULT_GUARD, Decision, Effect, Guard, GuardFinding, GuardMode, GuardProblem, GuardProblems, GuardRole,
    SqlKind,
};
pub use reads::{Reads, Unclear, UnknownColumn, names_with_views, reads};
