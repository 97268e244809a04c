//! The agent's way of writing a time.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Fri Nov 20 15:53:38 2026 UTC`, from a Unix time in seconds.
#[must_use]
pub fn calendar_time(unix_s: u64) -> String {
    let days = unix_s / 86_400;
    let second = unix_s % 86_400;
    let (year, month, day) = civil(days);
    format!(
        "{} {} {day:2} {:02}:{:02}:{:02} {year} UTC",
        DAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Year, month (1 to 12) and day of month of a day since 1970-01-01.
#[must_use]
pub fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is the last day of a year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::calendar_time;

    #[test]
    fn times_look_like_asctime() {
        assert_eq!(calendar_time(1_795_190_018), "Fri Nov 20 15:53:38 2026 UTC");
        assert_eq!(calendar_time(1_767_226_200), "Thu Jan  1 00:10:00 2026 UTC");
        assert_eq!(calendar_time(1_709_164_800), "Thu Feb 29 00:00:00 2024 UTC");
    }
}
