//! Times in which nothing may be changed, as operators write them. What they mean at a moment is told in
//! `fleet/access/freeze.rs`.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Span;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::section::section;
use super::value::ConfigValue;

section! {
    /// Change freezes.
    "freeze" Freeze {
        /// Times in which operators' changes are refused, as a list of windows with name, from, to, time_zone, days and live_queries (docs/operations.md#change-freezes); as text: JSON. Hosts do not notice.
        windows: FreezeWindows = FreezeWindows::default(),
        /// Let administrators change something during a window when they give the reason (fleetctl --override-freeze, header Muster-Freeze-Override). Each use is among the activities.
        allow_override: bool = false,
    }
}

/// Most windows.
const MAX_WINDOWS: usize = 50;

/// Longest name of a window, in characters.
const MAX_NAME: usize = 64;

const MINUTES_OF_DAY: u16 = 24 * 60;

/// The windows of the configuration.
#[derive(Debug, Clone, Default)]
pub struct FreezeWindows(pub Vec<FreezeWindow>);

/// A window in which nothing may be changed.
#[derive(Debug, Clone)]
pub struct FreezeWindow {
    pub recurrence: Recurrence,
    pub zone: TimeZone,
    written: WrittenWindow,
}

/// When a window begins and ends, on the clocks of its time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurrence {
    Once {
        from: DateTime,
        to: DateTime,
    },
    Weekly {
        /// The days on which it begins, from Monday on.
        days: [bool; 7],
        from: MinuteOfDay,
        /// Days from the one on which it begins to the one on which it ends.
        days_between: u8,
        to: MinuteOfDay,
    },
}

/// A time of day; 24:00 is the beginning of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinuteOfDay(u16);

/// A window as it stands in the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    name: String,
    from: String,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days: Option<Vec<String>>,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default)]
    live_queries: LiveQueryWord,
}

/// Whether live queries can be started during a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LiveQueryWord {
    #[default]
    Refuse,
    Allow,
}

/// A beginning or end as it was written.
#[derive(Debug, Clone, Copy)]
enum Edge {
    At(DateTime),
    OnDay(Weekday, MinuteOfDay),
    Daily(MinuteOfDay),
}

fn utc() -> String {
    "UTC".to_owned()
}

impl FreezeWindow {
    pub fn name(&self) -> &str {
        &self.written.name
    }

    pub fn time_zone(&self) -> &str {
        &self.written.time_zone
    }

    pub fn refuses_live_queries(&self) -> bool {
        self.written.live_queries == LiveQueryWord::Refuse
    }
}

impl MinuteOfDay {
    /// Whole days and the time of day that it is after the beginning of a day.
    pub fn split(self) -> (i64, Time) {
        let (days, minute) = (self.0 / MINUTES_OF_DAY, self.0 % MINUTES_OF_DAY);
        let parts = i8::try_from(minute / 60).ok().zip(i8::try_from(minute % 60).ok());
        let time = parts.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
        (i64::from(days), time.unwrap_or(Time::midnight()))
    }

    fn read(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |text: &str| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| is_plain)
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        let total = hour * 60 + minute;
        (minute < 60 && total <= MINUTES_OF_DAY).then_some(Self(total))
    }
}

impl Edge {
    fn read(text: &str) -> Option<Self> {
        let Some((day, time)) = text.trim().split_once(' ') else {
            return MinuteOfDay::read(text.trim()).map(Self::Daily);
        };
        let time = MinuteOfDay::read(time.trim())?;
        if let Some(day) = weekday(day) {
            return Some(Self::OnDay(day, time));
        }
        let (days, time) = time.split();
        let date: Date = day.parse().ok().filter(|_| day.len() == "2026-12-24".len())?;
        let date = date.checked_add(Span::new().try_days(days).ok()?).ok()?;
        Some(Self::At(date.to_datetime(time)))
    }
}

/// The day of a word such as `fri` or `Friday`.
fn weekday(word: &str) -> Option<Weekday> {
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let word = word.to_ascii_lowercase();
    days.into_iter().find(|(long, _)| word == *long || Some(word.as_str()) == long.get(..3)).map(|(_, day)| day)
}

/// The position of a day in the week, from Monday on.
fn position(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

/// Days of a list such as `mon, wed` or `mon..fri`.
fn days_of(words: &[String]) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    for word in words {
        let (first, last) = word.split_once("..").unwrap_or((word, word));
        let (Some(first), Some(last)) = (weekday(first.trim()), weekday(last.trim())) else {
            return Err(format!("days: expects days such as mon and ranges such as mon..fri, not {word:?}"));
        };
        let (first, last) = (position(first), position(last));
        for step in 0..=(last + 7 - first) % 7 {
            days[(first + step) % 7] = true;
        }
    }
    if days.contains(&true) { Ok(days) } else { Err("days: names no day; leave it out for every day".to_owned()) }
}

impl TryFrom<WrittenWindow> for FreezeWindow {
    type Error = String;

    fn try_from(written: WrittenWindow) -> Result<Self, String> {
        let name = written.name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!("name: expects 1 to {MAX_NAME} characters"));
        }
        let zone = TimeZone::get(&written.time_zone).map_err(|_| {
            format!("time_zone: expects a name such as Europe/Berlin or UTC, not {:?}", written.time_zone)
        })?;
        let recurrence = recurrence(&written)?;
        Ok(Self { recurrence, zone, written })
    }
}

fn recurrence(written: &WrittenWindow) -> Result<Recurrence, String> {
    let edge = |key: &str, text: &str| {
        Edge::read(text).ok_or_else(|| {
            format!("{key}: expects a time such as \"18:00\", \"fri 18:00\" or \"2026-12-24 18:00\", not {text:?}")
        })
    };
    let edges = (edge("from", &written.from)?, edge("to", &written.to)?);
    if written.days.is_some() && !matches!(edges, (Edge::Daily(_), Edge::Daily(_))) {
        return Err("days: goes with times alone, such as from: \"22:00\" and to: \"06:00\"".to_owned());
    }
    match edges {
        (Edge::At(from), Edge::At(to)) if from < to => Ok(Recurrence::Once { from, to }),
        (Edge::At(_), Edge::At(_)) => Err("to: must be later than from".to_owned()),
        (Edge::OnDay(first, from), Edge::OnDay(last, to)) => {
            let mut days = [false; 7];
            days[position(first)] = true;
            let between = (position(last) + 7 - position(first)) % 7;
            let days_between = match (between, from < to) {
                (0, false) if from == to => {
                    return Err("to: is the same as from; server.read_only refuses changes at all times".to_owned());
                }
                (0, false) => 7,
                (between, _) => u8::try_from(between).unwrap_or(0),
            };
            Ok(Recurrence::Weekly { days, from, days_between, to })
        }
        (Edge::Daily(from), Edge::Daily(to)) => {
            if from == to {
                return Err("to: is the same as from; write 00:00 and 24:00 for whole days".to_owned());
            }
            let days = written.days.as_deref().map_or(Ok([true; 7]), days_of)?;
            Ok(Recurrence::Weekly { days, from, days_between: u8::from(to < from), to })
        }
        _ => Err("from and to: write both with a date, both with a day, or both without".to_owned()),
    }
}

impl ConfigValue for FreezeWindows {
    const VALUE_NAME: &str = "JSON";
    /// Windows as JSON: an array, or what is in one, as lists of the settings file are read.
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let whole = if text.starts_with('[') { text.to_owned() } else { format!("[{text}]") };
        let items: Vec<serde_json::Value> = serde_json::from_str(&whole).map_err(|_| {
            "expects windows such as {\"name\": \"weekend\", \"from\": \"fri 18:00\", \"to\": \"mon 06:00\"}".to_owned()
        })?;
        if items.len() > MAX_WINDOWS {
            return Err(format!("has {} windows; {MAX_WINDOWS} at most", items.len()));
        }
        let mut windows: Vec<FreezeWindow> = Vec::new();
        let mut names = BTreeSet::new();
        for (index, item) in items.into_iter().enumerate() {
            let at = |reason: &dyn fmt::Display| format!("window {}: {reason}", index + 1);
            let written: WrittenWindow = serde_json::from_value(item).map_err(|error| at(&error))?;
            let window = FreezeWindow::try_from(written).map_err(|reason| at(&reason))?;
            if !names.insert(window.name().to_owned()) {
                return Err(at(&format!("another window is named {:?}, too", window.name())));
            }
            windows.push(window);
        }
        Ok(Self(windows))
    }
    fn show(&self) -> String {
        let written: Vec<&WrittenWindow> = self.0.iter().map(|window| &window.written).collect();
        if written.is_empty() { String::new() } else { serde_json::to_string(&written).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FreezeWindows, String> {
        FreezeWindows::read(text)
    }

    #[test]
    fn windows_read_back_as_they_are_written() {
        let text = "{\"name\":\"weekend\",\"from\":\"fri 18:00\",\"to\":\"mon 06:00\",\"time_zone\":\"Europe/Berlin\",\
                    \"live_queries\":\"allow\"},\
                    {\"name\":\"nights\",\"from\":\"22:00\",\"to\":\"06:00\",\"days\":[\"mon..thu\",\"Sunday\"],\
                    \"time_zone\":\"UTC\",\"live_queries\":\"refuse\"},\
                    {\"name\":\"holidays\",\"from\":\"2026-12-23 18:00\",\"to\":\"2027-01-03 24:00\",\"time_zone\":\"UTC\",\
                    \"live_queries\":\"refuse\"}";
        let windows = read(text).unwrap();
        assert_eq!(windows.show(), format!("[{text}]"));
        assert_eq!(read(&windows.show()).unwrap().show(), windows.show());
        let [weekend, nights, holidays] = &windows.0[..] else { panic!("{windows:?}") };
        assert!(!weekend.refuses_live_queries() && nights.refuses_live_queries());
        let Recurrence::Weekly { days, days_between, .. } = weekend.recurrence else { panic!("{weekend:?}") };
        assert_eq!((days, days_between), ([false, false, false, false, true, false, false], 3));
        let Recurrence::Weekly { days, days_between, .. } = nights.recurrence else { panic!("{nights:?}") };
        assert_eq!((days, days_between), ([true, true, true, true, false, false, true], 1));
        let Recurrence::Once { to, .. } = holidays.recurrence else { panic!("{holidays:?}") };
        assert_eq!(to.to_string(), "2027-01-04T00:00:00");
        assert_eq!(read("").unwrap().show(), "");
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_place() {
        let with = |from: &str, to: &str, more: &str| {
            read(&format!("{{\"name\":\"a\",\"from\":\"{from}\",\"to\":\"{to}\"{more}}}")).map(|_| ()).unwrap_err()
        };
        for (from, to, more, reason) in [
            ("25:00", "06:00", "", "window 1: from: expects a time such as"),
            ("6:00", "07:00", "", "window 1: from: expects a time such as"),
            ("18:00", "24:01", "", "window 1: to: expects a time such as"),
            ("fri 18:00", "06:00", "", "both with a date, both with a day, or both without"),
            ("fri 18:00", "fri 18:00", "", "server.read_only"),
            ("18:00", "18:00", "", "write 00:00 and 24:00"),
            ("2026-12-24 00:00", "2026-12-24 00:00", "", "must be later than from"),
            ("2026-13-24 00:00", "2026-12-24 00:00", "", "from: expects a time such as"),
            (
                "18:00",
                "19:00",
                ",\"time_zone\":\"Berlin\"",
                "window 1: time_zone: expects a name such as Europe/Berlin",
            ),
            ("18:00", "19:00", ",\"days\":[\"fry\"]", "days: expects days such as mon"),
            ("18:00", "19:00", ",\"days\":[]", "days: names no day"),
            ("fri 18:00", "sat 19:00", ",\"days\":[\"mon\"]", "days: goes with times alone"),
            ("18:00", "19:00", ",\"zone\":\"UTC\"", "unknown field `zone`"),
            ("18:00", "19:00", ",\"live_queries\":\"no\"", "expected `refuse` or `allow`"),
        ] {
            let found = with(from, to, more);
            assert!(found.contains(reason), "{from} {to} {more}: {found}");
        }
        let twice = "{\"name\":\"a\",\"from\":\"18:00\",\"to\":\"19:00\"}";
        assert!(read(&format!("{twice},{twice}")).unwrap_err().contains("window 2: another window is named \"a\""));
        assert!(read("weekend").unwrap_err().contains("expects windows such as"));
        assert!(read(&twice.replace("\"a\"", "\" \"")).unwrap_err().contains("name: expects"));
        let many: Vec<String> = (0..=MAX_WINDOWS).map(|n| twice.replace("\"a\"", &format!("\"{n}\""))).collect();
        assert!(read(&many.join(",")).unwrap_err().contains("50 at most"));
    }
}
