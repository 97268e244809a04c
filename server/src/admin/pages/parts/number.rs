//! Numbers, each with its unit.

/// Groups of three digits, with thin spaces that do not break between them.
pub(in crate::admin::pages) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// As [`count`], for a value of a chart; nothing for one between two numbers.
pub(in crate::admin::pages) fn whole(number: f64) -> String {
    if number.fract() == 0.0 { grouped(&format!("{:.0}", number.max(0.0))) } else { String::new() }
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 2);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number and the word for what it counts.
pub(in crate::admin::pages) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A time that is given in milliseconds.
pub(in crate::admin::pages) fn milliseconds(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms < 0.05 => "0 ms".to_owned(),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 10_000.0 => format!("{:.2} s", ms / 1_000.0),
        ms if ms < 120_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms if ms < 7_200_000.0 => format!("{:.0} min", ms / 60_000.0),
        ms => format!("{:.1} h", ms / 3_600_000.0),
    }
}

/// CPU time of a day on all hosts together, given in seconds.
pub(in crate::admin::pages) fn cpu_per_day(seconds: f64) -> String {
    match seconds {
        s if s < 0.05 => "0 CPU-s".to_owned(),
        s if s < 100.0 => format!("{s:.1} CPU-s"),
        s if s < 3_600.0 => format!("{:.1} CPU-min", s / 60.0),
        s if s < 100.0 * 3_600.0 => format!("{:.1} CPU-h", s / 3_600.0),
        s => format!("{:.1} CPU-days", s / 86_400.0),
    }
}

/// A size in binary units.
pub(in crate::admin::pages) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (bytes.max(0.0), 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && size < 10.0);
    format!("{size:.decimals$} {}", UNITS[unit])
}

/// A part from 0 to 1.
pub(in crate::admin::pages) fn percent(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.1 => "< 0.1 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [7, 1_234, 500_000, 1_000_000].map(count),
            ["7", "1\u{202f}234", "500\u{202f}000", "1\u{202f}000\u{202f}000"]
        );
        assert_eq!([0.0, 0.5, 12_000.0].map(whole), ["0", "", "12\u{202f}000"]);
        assert_eq!([plural(1, "host", "hosts"), plural(0, "host", "hosts")], ["1 host", "0 hosts"]);
        assert_eq!(
            [0.0, 3.21, 240.4, 2_345.0, 61_000.0].map(milliseconds),
            ["0 ms", "3.2 ms", "240 ms", "2.35 s", "61.0 s"]
        );
        assert_eq!([0.0, 12.0, 90.0, 4_680.0].map(cpu_per_day), ["0 CPU-s", "12.0 CPU-s", "90.0 CPU-s", "1.3 CPU-h"]);
        assert_eq!([0.0, 900.0, 1_536.0, 17_179_869_184.0].map(bytes), ["0 B", "900 B", "1.5 KiB", "16 GiB"]);
        assert_eq!([0.0, 0.0002, 0.034, 0.5].map(percent), ["0 %", "< 0.1 %", "3.4 %", "50 %"]);
    }
}
