//! Change freezes: which window is open at a moment, and until when.
//!
//! A time that daylight saving skips or repeats freezes longer rather than shorter: a beginning counts as the earlier of the
//! moments that it may mean, an end as the later one.

use std::sync::{Arc, Mutex};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::clock::Moment;
use crate::config::{self, FreezeWindow, Recurrence};
use crate::lock::lock;

/// Most windows that follow each other without a pause between, of which the last one's end is told.
const MAX_CHAIN: usize = 50;

/// A freeze that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The window that is open. Others may follow it at once.
    pub window: Arc<str>,
    /// When the last of them ends.
    pub until: Moment,
    /// The same, as clocks of its time zone show it.
    pub until_there: String,
    pub is_for_live_queries: bool,
}

/// What is frozen at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct FrozenNow {
    pub changes: Option<Arc<Frozen>>,
    pub live_queries: Option<Arc<Frozen>>,
}

/// The windows, and what they have said last.
#[derive(Debug, Default)]
pub(super) struct Freezes {
    windows: Vec<FreezeWindow>,
    pub allow_override: bool,
    /// By the second for which it was found: a page asks many times.
    last: Mutex<Option<(i64, FrozenNow)>>,
}

impl Freezes {
    pub fn new(config: &config::Freeze) -> Self {
        Self { windows: config.windows.0.clone(), allow_override: config.allow_override, last: Mutex::default() }
    }

    pub fn at(&self, now: Moment) -> FrozenNow {
        if self.windows.is_empty() {
            return FrozenNow::default();
        }
        let second = now.seconds();
        let mut last = lock(&self.last);
        if let Some((_, found)) = last.as_ref().filter(|(at, _)| *at == second) {
            return found.clone();
        }
        let found = self.find(second);
        *last = Some((second, found.clone()));
        found
    }

    fn find(&self, second: i64) -> FrozenNow {
        let Ok(now) = Timestamp::from_second(second) else { return FrozenNow::default() };
        let live_queries = open(&self.windows, now, |window| window.refuses_live_queries());
        let is_for_live_queries = live_queries.is_some();
        let with = |frozen: Frozen| Arc::new(Frozen { is_for_live_queries, ..frozen });
        FrozenNow { changes: open(&self.windows, now, |_| true).map(with), live_queries: live_queries.map(with) }
    }
}

/// The window among these that is open and lasts longest, with the end of the last one that follows it at once.
fn open(windows: &[FreezeWindow], now: Timestamp, counts: impl Fn(&FreezeWindow) -> bool) -> Option<Frozen> {
    let longest = |at: Timestamp| {
        let open = windows.iter().filter(|window| counts(window));
        open.filter_map(|window| Some((end_of(window, at)?, window))).max_by_key(|(end, _)| *end)
    };
    let (mut end, first) = longest(now)?;
    let mut last = first;
    for _ in 0..MAX_CHAIN {
        let Some((later, window)) = longest(end) else { break };
        (end, last) = (later, window);
    }
    let there = last.zone.to_datetime(end).strftime("%Y-%m-%d %H:%M").to_string();
    Some(Frozen {
        window: Arc::from(first.name()),
        until: Moment(end.as_microsecond()),
        until_there: format!("{there} {}", last.time_zone()),
        is_for_live_queries: false,
    })
}

/// When the window ends that is open at this moment, if it is.
fn end_of(window: &FreezeWindow, at: Timestamp) -> Option<Timestamp> {
    let zone = &window.zone;
    match window.recurrence {
        Recurrence::Once { from, to } => {
            let (from, to) = (zone.to_ambiguous_timestamp(from), zone.to_ambiguous_timestamp(to));
            during(from.earlier().ok()?, to.later().ok()?, at)
        }
        Recurrence::Weekly { days, from, days_between, to } => {
            // One day more on both sides: clocks may have been moved over midnight.
            let today = zone.to_datetime(at).date();
            let begins = (-(i64::from(days_between) + 1)..=1).filter_map(|days| plus(today, days));
            let begins = begins.filter(|day| {
                let position = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
                days.get(position).is_some_and(|begins| *begins)
            });
            let ends = begins.filter_map(|day| {
                let from = moment(zone, day, from.split(), Side::Beginning)?;
                let (more, time) = to.split();
                let to = moment(zone, day, (i64::from(days_between) + more, time), Side::End)?;
                during(from, to, at)
            });
            ends.max()
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Beginning,
    End,
}

fn moment(zone: &TimeZone, day: Date, (days, time): (i64, jiff::civil::Time), side: Side) -> Option<Timestamp> {
    let there = zone.to_ambiguous_timestamp(plus(day, days)?.to_datetime(time));
    match side {
        Side::Beginning => there.earlier().ok(),
        Side::End => there.later().ok(),
    }
}

fn plus(day: Date, days: i64) -> Option<Date> {
    day.checked_add(Span::new().try_days(days).ok()?).ok()
}

fn during(from: Timestamp, to: Timestamp, at: Timestamp) -> Option<Timestamp> {
    (from <= at && at < to).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources, load};

    fn config(windows: &str) -> config::Freeze {
        let flags = vec![("freeze_windows".to_owned(), windows.to_owned())];
        let Config { freeze, .. } = load(&Sources { flags, ..Sources::default() }).unwrap().config;
        freeze
    }

    fn window(from: &str, to: &str, more: &str) -> String {
        format!("{{\"name\": \"a\", \"from\": \"{from}\", \"to\": \"{to}\"{more}}}")
    }

    /// Until when changes are frozen at a moment in UTC, in UTC.
    fn until(windows: &str, at: &str) -> Option<String> {
        let at: Timestamp = at.parse().unwrap();
        let found = Freezes::new(&config(windows)).at(Moment(at.as_microsecond())).changes;
        found.map(|frozen| Timestamp::from_microsecond(frozen.until.0).unwrap().to_string())
    }

    const BERLIN: &str = ", \"time_zone\": \"Europe/Berlin\"";

    #[test]
    fn a_weekend_ends_on_monday() {
        let weekend = window("fri 18:00", "mon 06:00", BERLIN);
        for (at, expected) in [
            ("2026-01-16T16:59:59Z", None),
            ("2026-01-16T17:00:00Z", Some("2026-01-19T05:00:00Z")),
            ("2026-01-18T12:00:00Z", Some("2026-01-19T05:00:00Z")),
            ("2026-01-19T04:59:59Z", Some("2026-01-19T05:00:00Z")),
            ("2026-01-19T05:00:00Z", None),
            ("2026-01-21T12:00:00Z", None),
            // In summer an hour earlier in UTC; the weekend in which clocks go forward has both.
            ("2026-07-17T16:00:00Z", Some("2026-07-20T04:00:00Z")),
            ("2026-03-27T17:00:00Z", Some("2026-03-30T04:00:00Z")),
            ("2026-03-27T16:59:59Z", None),
        ] {
            assert_eq!(until(&weekend, at).as_deref(), expected, "{at}");
        }
    }

    #[test]
    fn a_time_that_is_skipped_freezes_longer() {
        // On 2026-03-29 clocks in Berlin go from 02:00 to 03:00, which is 01:00 UTC.
        let from_gap = window("02:30", "05:00", BERLIN);
        assert_eq!(until(&from_gap, "2026-03-29T00:29:59Z"), None);
        assert_eq!(until(&from_gap, "2026-03-29T00:30:00Z").as_deref(), Some("2026-03-29T03:00:00Z"));
        let to_gap = window("01:00", "02:30", BERLIN);
        assert_eq!(until(&to_gap, "2026-03-29T00:00:00Z").as_deref(), Some("2026-03-29T01:30:00Z"));
        assert_eq!(until(&to_gap, "2026-03-29T01:30:00Z"), None);
        assert_eq!(until(&to_gap, "2026-03-30T00:00:00Z").as_deref(), Some("2026-03-30T00:30:00Z"));
    }

    #[test]
    fn a_time_that_comes_twice_freezes_longer() {
        // On 2026-10-25 clocks in Berlin go from 03:00 back to 02:00, which is 01:00 UTC.
        let from_fold = window("02:30", "05:00", BERLIN);
        assert_eq!(until(&from_fold, "2026-10-25T00:29:59Z"), None);
        assert_eq!(until(&from_fold, "2026-10-25T00:30:00Z").as_deref(), Some("2026-10-25T04:00:00Z"));
        let to_fold = window("01:00", "02:30", BERLIN);
        assert_eq!(until(&to_fold, "2026-10-25T00:45:00Z").as_deref(), Some("2026-10-25T01:30:00Z"));
        assert_eq!(until(&to_fold, "2026-10-25T01:29:59Z").as_deref(), Some("2026-10-25T01:30:00Z"));
        assert_eq!(until(&to_fold, "2026-10-25T01:30:00Z"), None);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let nights = window("22:00", "06:00", ", \"days\": [\"mon..thu\"]");
        // 2026-01-15 is a Thursday.
        assert_eq!(until(&nights, "2026-01-15T22:00:00Z").as_deref(), Some("2026-01-16T06:00:00Z"));
        assert_eq!(until(&nights, "2026-01-16T05:59:59Z").as_deref(), Some("2026-01-16T06:00:00Z"));
        assert_eq!(until(&nights, "2026-01-16T22:00:00Z"), None);
        assert_eq!(until(&nights, "2026-01-19T05:00:00Z"), None);
    }

    #[test]
    fn windows_that_follow_each_other_end_with_the_last() {
        let days = window("00:00", "24:00", ", \"days\": [\"fri..sun\"]");
        assert_eq!(until(&days, "2026-01-16T08:00:00Z").as_deref(), Some("2026-01-19T00:00:00Z"));
        let then = format!("{days}, {}", window("mon 00:00", "mon 04:00", "").replace("\"a\"", "\"b\""));
        assert_eq!(until(&then, "2026-01-16T08:00:00Z").as_deref(), Some("2026-01-19T04:00:00Z"));
        // The end of what never ends is told as far as it was looked for.
        assert!(until(&window("00:00", "24:00", ""), "2026-01-16T08:00:00Z").unwrap().as_str() > "2026-02-20");
    }

    #[test]
    fn a_window_with_dates_comes_once() {
        let holidays = window("2026-12-23 18:00", "2027-01-03 24:00", BERLIN);
        assert_eq!(until(&holidays, "2026-12-23T16:59:59Z"), None);
        assert_eq!(until(&holidays, "2026-12-23T17:00:00Z").as_deref(), Some("2027-01-03T23:00:00Z"));
        assert_eq!(until(&holidays, "2027-12-25T00:00:00Z"), None);
    }

    #[test]
    fn a_day_that_a_zone_skips_is_no_gap() {
        // Samoa had no 30 December 2011.
        let apia = ", \"time_zone\": \"Pacific/Apia\"";
        let night = window("thu 22:00", "sat 06:00", apia);
        assert_eq!(until(&night, "2011-12-30T09:30:00Z").as_deref(), Some("2011-12-30T16:00:00Z"));
        let within = window("fri 08:00", "fri 20:00", apia);
        assert!(until(&within, "2011-12-30T09:59:00Z").is_some());
    }

    #[test]
    fn live_queries_are_frozen_by_the_windows_that_say_so() {
        let windows = format!(
            "{}, {}",
            window("08:00", "20:00", ", \"live_queries\": \"allow\""),
            window("12:00", "14:00", "").replace("\"a\"", "\"b\"")
        );
        let freezes = Freezes::new(&config(&windows));
        let at = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            freezes.at(Moment(at.as_microsecond()))
        };
        let morning = at("2026-01-15T09:00:00Z");
        assert!(morning.live_queries.is_none() && !morning.changes.unwrap().is_for_live_queries);
        let noon = at("2026-01-15T12:30:00Z");
        let (changes, live) = (noon.changes.unwrap(), noon.live_queries.unwrap());
        assert_eq!((&*changes.window, &*live.window, changes.is_for_live_queries), ("a", "b", true));
        assert_eq!(live.until_there, "2026-01-15 14:00 UTC");
        assert!(at("2026-01-15T20:00:00Z").changes.is_none());
    }
}
