use std::time::Duration;

/// Parses a duration in Go syntax, such as `30s`, `1h30m`, `1.5h` or `250ms`, and also days, such as `2d`.
pub fn go_duration(text: &str) -> Result<Duration, String> {
    let refused = || "expects a duration such as 30s, 1h30m, 250ms or 2d".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(refused());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(refused()),
        };
        let number: f64 = number.parse().map_err(|_| refused())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| "is too long".to_owned())?;
        total = total.checked_add(part).ok_or_else(|| "is too long".to_owned())?;
        rest = tail;
    }
    Ok(total)
}

/// Formats a duration with its two largest units.
pub fn shown(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        let seconds = |text| go_duration(text).map(|found| found.as_secs_f64());
        assert_eq!(seconds("30s"), Ok(30.0));
        assert_eq!(seconds("1h30m"), Ok(5400.0));
        assert_eq!(seconds("1.5h"), Ok(5400.0));
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert_eq!(seconds("2d"), Ok(172_800.0));
        assert_eq!(seconds("0"), Ok(0.0));
        for wrong in ["", "30", "s", "-1s", "1x", "1s2", "1..2s", "+", ".s"] {
            assert!(go_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(go_duration("99999999999999999999d"), Err("is too long".to_owned()));
    }

    #[test]
    fn durations_are_shown_with_two_units() {
        let all = [0, 59, 61, 3660, 90_000].map(shown);
        assert_eq!(all, ["0s", "59s", "1m1s", "1h1m", "1d1h"]);
    }
}
