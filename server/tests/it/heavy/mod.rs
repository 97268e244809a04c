//! Tests that need the whole machine: `make test` runs these one at a time.

mod flipping;
mod load;
mod memory;
