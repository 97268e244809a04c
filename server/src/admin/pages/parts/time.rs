//! Times: how long ago, and exactly when on hover.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

use crate::clock::Moment;

/// How long ago something was, or how soon it will be.
pub(in crate::admin::pages) fn ago(time: DateTime<Utc>, now: Moment) -> Markup {
    let seconds = now.to_utc().signed_duration_since(time).num_seconds();
    let exact = time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let machine = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    html! { time datetime=(machine) title=(exact) { (words(seconds)) } }
}

/// As [`ago`]; a time that stands for "never" is called so.
pub(in crate::admin::pages) fn ago_or_never(time: DateTime<Utc>, now: Moment) -> Markup {
    if time.timestamp() <= 0 {
        html! { span.muted { "never" } }
    } else {
        ago(time, now)
    }
}

fn words(seconds: i64) -> String {
    let span = match seconds.abs() {
        s if s < 5 => return "now".to_owned(),
        s if s < 90 => format!("{s} s"),
        s if s < 90 * 60 => format!("{} min", s / 60),
        s if s < 48 * 3600 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    };
    if seconds < 0 { format!("in {span}") } else { format!("{span} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_people_would_use() {
        let said = [0, 42, 240, 7_200, 3 * 86_400, -600].map(words);
        assert_eq!(said, ["now", "42 s ago", "4 min ago", "2 h ago", "3 days ago", "in 10 min"]);
    }
}
