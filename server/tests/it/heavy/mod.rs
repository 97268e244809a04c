//! Tests that need the whole machine: `make test` runs these one at a time.

mod flipping;
mod lists;
mod load;
mod memory;
