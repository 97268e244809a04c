//! Costs of scheduled queries, as text.

use muster_api::rest::{CostPercentiles, FleetCosts, Impact};

use crate::rest::{RestClient, segment};

/// Fractions of a full block, for a chart of one line.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Reads what all scheduled queries cost the fleet.
pub async fn of_fleet(server: &RestClient) -> anyhow::Result<FleetCosts> {
    Ok(server.get("statistics/queries").await?)
}

/// The path of what one scheduled query costs; without a pack, one of the top-level schedule.
pub fn query_path(pack: &str, name: &str) -> String {
    let pack = if pack.is_empty() { String::new() } else { format!("&pack={}", segment(pack)) };
    format!("statistics/query?name={}{pack}", segment(name))
}

/// A query with its pack, as in the names of results.
pub fn full_name(pack: &str, name: &str) -> String {
    if pack.is_empty() { name.to_owned() } else { format!("{pack}/{name}") }
}

pub fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::Undetermined => "undetermined",
        Impact::Minimal => "minimal",
        Impact::Considerable => "considerable",
        Impact::Excessive => "excessive",
        Impact::Denylisted => "denylisted",
    }
}

/// A number of milliseconds with three digits: `0.42 ms`, `31.5 ms`, `2.10 s`.
pub fn millis(millis: f64) -> String {
    let (number, unit) = match millis {
        ..1000.0 => (millis, "ms"),
        _ => (millis / 1000.0, "s"),
    };
    format!("{} {unit}", digits(number))
}

pub fn bytes(bytes: f64) -> String {
    let (number, unit) = match bytes {
        ..1024.0 => return format!("{bytes:.0} B"),
        ..1_048_576.0 => (bytes / 1024.0, "KiB"),
        _ => (bytes / 1_048_576.0, "MiB"),
    };
    format!("{} {unit}", digits(number))
}

fn digits(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// A percentile of a measure, or a dash if nothing is known of it.
pub fn percentile(
    measure: Option<&CostPercentiles>,
    of: impl Fn(&CostPercentiles) -> f64,
    text: impl Fn(f64) -> String,
) -> String {
    measure.map_or_else(|| "-".to_owned(), |measure| text(of(measure)))
}

/// A chart of one line, a character for each number; a space where there is none.
pub fn chart(numbers: impl IntoIterator<Item = Option<f64>>) -> String {
    let numbers: Vec<_> = numbers.into_iter().collect();
    let most = numbers.iter().flatten().fold(0.0_f64, |most, number| most.max(*number));
    let bar = |number: f64| match most > 0.0 {
        true => BARS[((number / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
        false => BARS[0],
    };
    numbers.into_iter().map(|number| number.map_or(' ', bar)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let all = [0.0, 0.424, 9.999, 31.54, 999.4, 1000.0, 65_432.0].map(millis);
        assert_eq!(all, ["0.00 ms", "0.42 ms", "10.00 ms", "31.5 ms", "999 ms", "1.00 s", "65.4 s"]);
        assert_eq!([12.0, 2048.0, 5_242_880.0].map(bytes), ["12 B", "2.00 KiB", "5.00 MiB"]);
    }

    #[test]
    fn a_chart_has_a_bar_for_each_number() {
        assert_eq!(chart([Some(0.0), Some(1.0), None, Some(4.0), Some(8.0)]), "▁▁ ▄█");
        assert_eq!(chart([Some(0.0), None]), "▁ ");
        assert_eq!(chart([]), "");
    }

    #[test]
    fn a_query_is_named_with_its_pack() {
        assert_eq!((full_name("base", "cheap"), full_name("", "top")), ("base/cheap".to_owned(), "top".to_owned()));
        assert_eq!(query_path("my pack", "a&b"), "statistics/query?name=a%26b&pack=my%20pack");
        assert_eq!(query_path("", "top"), "statistics/query?name=top");
    }
}
