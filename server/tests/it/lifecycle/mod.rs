//! How the server's process starts, listens to signals, and ends.

mod certificate;
mod files;
mod start;
mod stop;
