//! Lines as high as a row of a table, that show how a number has moved.

use std::fmt::Write as _;

use maud::{Markup, html};

const WIDTH: f64 = 96.0;
const HEIGHT: f64 = 20.0;

/// Room above and below, so that the line is not cut.
const EDGE: f64 = 2.0;

/// A line through these values, from zero; it stops where there is none, and is none with a single value. `about` says what it shows, `print` how a value is told.
pub(in crate::admin::pages) fn spark(values: &[Option<f64>], about: &str, print: fn(f64) -> String) -> Markup {
    let known = values.iter().copied().flatten();
    let (Some(last), highest) = (known.clone().next_back(), known.clone().fold(0.0, f64::max)) else {
        return html! { span.muted { "–" } };
    };
    if known.clone().count() < 2 {
        return html! { span.muted title="One hour is known so far" { "–" } };
    }
    let lowest = known.fold(f64::INFINITY, f64::min);
    let title = format!("{about}: {} at least, {} at most, {} last", print(lowest), print(highest), print(last));
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
            title { (title) }
            path d=(line(values, highest)) {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "few values")]
fn line(values: &[Option<f64>], highest: f64) -> String {
    let step = WIDTH / values.len().max(1) as f64;
    let y = |value: f64| HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * if highest > 0.0 { value / highest } else { 0.0 };
    let (mut path, mut is_drawing) = (String::new(), false);
    for (position, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let left = step * position as f64;
        let command = if is_drawing { 'L' } else { 'M' };
        // As wide as its time, so that one value between gaps is seen, too.
        let _ = write!(path, "{command}{left:.1} {:.1}H{:.1}", y(*value), left + step);
        is_drawing = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stops_where_nothing_is_known() {
        let path = line(&[Some(1.0), Some(2.0), None, Some(0.0)], 2.0);
        assert_eq!(path, "M0.0 10.0H24.0L24.0 2.0H48.0M72.0 18.0H96.0");
        assert!(spark(&[None, Some(7.0)], "x", |value| value.to_string()).into_string().contains('–'));
        assert!(spark(&[None, None], "x", |value| value.to_string()).into_string().contains('–'));
    }
}
