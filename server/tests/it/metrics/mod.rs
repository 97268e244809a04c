//! What Prometheus reads.

mod access;
