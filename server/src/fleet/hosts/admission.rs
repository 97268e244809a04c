use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config;

/// Limits the enrollments that may wait for the database: per second in total, and per second for each secret. Not by
/// address, because whole sites share one. The limits hold per node: N nodes admit N times as many.
#[derive(Debug)]
pub struct Admission {
    all: DefaultDirectRateLimiter,
    per_secret: DefaultKeyedRateLimiter<i64>,
}

impl Admission {
    pub fn new(config: &config::Osquery) -> Self {
        let quota = |per_second: u32| Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        Self {
            all: RateLimiter::direct(quota(config.enrolls_per_second)),
            per_secret: RateLimiter::keyed(quota(config.enrolls_per_second_per_secret)),
        }
    }

    /// Whether one more with this secret may pass now.
    ///
    /// # Errors
    /// The limit that it is over.
    pub fn admits(&self, secret_id: i64) -> Result<(), &'static str> {
        self.per_secret.check_key(&secret_id).map_err(|_| "enrolls_per_second_per_secret")?;
        self.all.check().map_err(|_| "enrolls_per_second")
    }
}
