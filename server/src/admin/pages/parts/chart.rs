//! Charts, drawn on the server as SVG: they need no script, and print. Each stands beside its table.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::text::visible;

/// The size of a chart, in units that grow and shrink with the page.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;

/// Room left of the plot for values, above it for half a value, and below it for times.
const LEFT: f64 = 58.0;
const ABOVE: f64 = 10.0;
const BELOW: f64 = 26.0;

/// Most times that are written.
const MAX_TIMES: i64 = 5;

/// Most powers of ten of a logarithmic scale.
const MAX_DECADES: f64 = 6.0;

/// Most marks of what happened.
const MAX_MARKS: usize = 40;

/// Most places that tell their values on hover.
const MAX_HITS: usize = 84;

/// What is drawn over a span of time: some values that stand in each other, such as the percentiles of an hour, or all hosts
/// and those of them that are online.
#[derive(Debug)]
pub(in crate::admin::pages) struct BarChart<'a> {
    /// What somebody hears who cannot see it.
    pub about: &'a str,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Seconds that a bar stands for.
    pub bucket: i64,
    /// Classes of the values, those behind first.
    pub layers: &'a [&'static str],
    pub bars: Vec<Bar>,
    /// How a value is told at the axis.
    pub axis: fn(f64) -> String,
    pub scale: ChartScale,
    /// Whether it has the whole width of a page.
    pub is_wide: bool,
    /// What happened meanwhile, the latest first.
    pub marks: &'a [ChartMark],
}

/// How far apart values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::admin::pages) enum ChartScale {
    /// From zero, each as far as the next.
    #[default]
    Linear,
    /// Ten times as much is always as far: small values are seen beside large ones.
    Log,
}

/// Something that happened at a moment.
#[derive(Debug, Clone)]
pub(in crate::admin::pages) struct ChartMark {
    pub at: DateTime<Utc>,
    /// Who did what.
    pub title: String,
}

/// The heights of values.
struct ValueAxis {
    scale: ChartScale,
    bottom: f64,
    top: f64,
    /// Values that are written, each with a line.
    lines: Vec<f64>,
}

impl ValueAxis {
    fn of(scale: ChartScale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let highest = values.clone().fold(0.0, f64::max);
        let lowest = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        if scale == ChartScale::Log && lowest.is_finite() && highest.is_finite() {
            let (first, last) = (lowest.log10().floor(), highest.log10().ceil().max(lowest.log10().floor() + 1.0));
            // More decades than can be told apart: the lowest are cut.
            let first = first.max(last - MAX_DECADES);
            let decades =
                std::iter::successors(Some(first), |decade| Some(decade + 1.0)).take_while(|decade| *decade <= last);
            let lines = decades.map(|decade| 10_f64.powf(decade)).collect();
            return Self { scale, bottom: 10_f64.powf(first), top: 10_f64.powf(last), lines };
        }
        let (step, lines) = steps(highest);
        let lines: Vec<f64> = (0..=lines).map(|line| step * f64::from(line)).collect();
        Self { scale: ChartScale::Linear, bottom: 0.0, top: lines.last().copied().unwrap_or(1.0), lines }
    }

    /// Where a value stands.
    fn y(&self, value: f64) -> f64 {
        let part = match self.scale {
            ChartScale::Linear => value / self.top,
            ChartScale::Log => (value.max(self.bottom) / self.bottom).log10() / (self.top / self.bottom).log10(),
        };
        ABOVE + (HEIGHT - ABOVE - BELOW) * (1.0 - part.clamp(0.0, 1.0))
    }
}

/// The values of one hour or day.
#[derive(Debug)]
pub(in crate::admin::pages) struct Bar {
    pub start: DateTime<Utc>,
    /// One for each layer, those behind first; the ones in front are lower.
    pub tops: Vec<f64>,
    /// What is told of it on hover.
    pub title: String,
    /// The page that a click opens: what is behind the values. The table of the chart has the same links.
    pub opens: Option<String>,
}

impl BarChart<'_> {
    pub(in crate::admin::pages) fn draw(&self) -> Markup {
        let axis = ValueAxis::of(self.scale, self.bars.iter().flat_map(|bar| &bar.tops).copied());
        let y = |value: f64| axis.y(value);
        let span = seconds(self.to, self.from).max(1.0);
        let x = |time: DateTime<Utc>| LEFT + (WIDTH - LEFT) * (seconds(time, self.from) / span).clamp(0.0, 1.0);
        let hit_every = self.bars.len().div_ceil(MAX_HITS).max(1);
        html! {
            svg.chart.wide[self.is_wide] viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.about) {
                @for value in &axis.lines {
                    line.grid-line x1=(LEFT) x2=(WIDTH) y1=(round(y(*value))) y2=(round(y(*value))) {}
                    text x=(LEFT - 8.0) y=(round(y(*value) + 4.0)) text-anchor="end" { (short((self.axis)(*value))) }
                }
                @for (layer, class) in self.layers.iter().enumerate() { path class=(class) d=(self.layer(layer, x, y)) {} }
                @for (time, written) in self.times() {
                    text x=(round(x(time))) y=(HEIGHT - 4.0) text-anchor=(anchor(x(time))) { (written) }
                }
                @for bars in self.bars.chunks(hit_every) {
                    @if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
                        @let (left, right) = (x(first.start), x(last.start + chrono::TimeDelta::seconds(self.bucket)));
                        rect.hit x=(round(left)) y=(ABOVE) width=(round(right - left)) height=(HEIGHT - ABOVE - BELOW) data-opens=[&last.opens] {
                            title { (last.title) }
                        }
                    }
                }
                @for mark in self.marks.iter().filter(|mark| self.from <= mark.at && mark.at <= self.to).take(MAX_MARKS) {
                    @let at = round(x(mark.at));
                    g.mark {
                        line x1=(at) x2=(at) y1=(ABOVE) y2=(HEIGHT - BELOW) {}
                        path d={ "M" (round(at - 4.0)) " " (ABOVE - 8.0) "h8l-4 7z" } {}
                        rect.hit x=(round(at - 4.0)) y="0" width="8" height=(HEIGHT - BELOW) { title { (visible(&mark.title)) } }
                    }
                }
            }
        }
    }

    /// All bars of a layer, as one path.
    fn layer(&self, layer: usize, x: impl Fn(DateTime<Utc>) -> f64, y: impl Fn(f64) -> f64) -> String {
        let floor = HEIGHT - BELOW;
        let mut path = String::new();
        for bar in &self.bars {
            let Some(top) = bar.tops.get(layer).filter(|top| **top > 0.0) else { continue };
            let (left, right) = (x(bar.start), x(bar.start + chrono::TimeDelta::seconds(self.bucket)));
            let (top, bottom) = (y(*top), floor);
            // Bars that touch would show a seam.
            let _ = write!(
                path,
                "M{} {}V{}H{}V{}z",
                round(left),
                round(bottom),
                round(top.min(bottom - 1.0)),
                round(right + 0.3),
                round(bottom)
            );
        }
        path
    }

    /// Round times that are written below.
    fn times(&self) -> Vec<(DateTime<Utc>, String)> {
        const HOUR: i64 = 3600;
        let steps = [1, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 30 * 24, 90 * 24].map(|hours| hours * HOUR);
        let (from, to) = (self.from.timestamp(), self.to.timestamp());
        let step = steps.into_iter().find(|step| (to - from) / step <= MAX_TIMES).unwrap_or(365 * 24 * HOUR);
        let first = from.div_euclid(step) + i64::from(from.rem_euclid(step) > 0);
        let rounds = (first..).map(|number| number * step).take_while(|seconds| *seconds <= to);
        let is_date = |seconds: i64| step >= 24 * HOUR || seconds % (24 * HOUR) == 0;
        let written = rounds.filter_map(|seconds| {
            let time = DateTime::from_timestamp(seconds, 0)?;
            let format = if is_date(seconds) { "%-d %b" } else { "%H:%M" };
            Some((time, time.format(format).to_string()))
        });
        written.collect()
    }
}

/// Where a text stands to its place, so that it does not leave the chart.
fn anchor(x: f64) -> &'static str {
    const HALF: f64 = 24.0;
    if x > WIDTH - HALF { "end" } else { "middle" }
}

/// A line of a table as wide as it is, with a part of it filled.
pub(in crate::admin::pages) fn meter(part: f64, class: &str) -> Markup {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    html! {
        svg.meter viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect class=(class) width=(round(part * 100.0)) height="6" {}
        }
    }
}

/// The distance of lines that are easy to read, and how many there are, from 2 to 5.
fn steps(highest: f64) -> (f64, u32) {
    if !highest.is_finite() || highest <= 0.0 {
        return (1.0, 2);
    }
    let size = 10_f64.powf((highest / 4.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * size).find(|step| step * 4.0 >= highest);
    let step = step.unwrap_or(10.0 * size);
    let lines = (1..=4).find(|lines| step * f64::from(*lines) >= highest).unwrap_or(4);
    (step, lines.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn seconds(later: DateTime<Utc>, earlier: DateTime<Utc>) -> f64 {
    (later - earlier).num_seconds() as f64
}

/// A value of the axis without decimals that say nothing: `2 s` for `2.00 s`.
fn short(written: String) -> String {
    let Some((number, unit)) = written.split_once(' ') else { return written };
    match number.contains('.') {
        true => format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.')),
        false => written,
    }
}

/// A tenth of a unit is as much as anybody sees.
fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_at_round_numbers_and_above_everything() {
        for highest in [0.0, 0.4, 1.0, 3.0, 7.0, 25.0, 99.0, 480_123.0, f64::NAN] {
            let (step, lines) = steps(highest);
            assert!((1..=5).contains(&lines), "{highest}: {step} × {lines}");
            assert!(!highest.is_finite() || step * f64::from(lines) >= highest, "{highest}: {step} × {lines}");
        }
        assert_eq!(steps(25.0), (10.0, 3));
    }

    #[test]
    fn values_of_the_axis_are_short() {
        let values = ["2.00 s", "2.50 s", "0 ms", "200 ms", "10.0 s", "12"].map(|value| short(value.to_owned()));
        assert_eq!(values, ["2 s", "2.5 s", "0 ms", "200 ms", "10 s", "12"]);
    }

    const EMPTY: BarChart<'static> = BarChart {
        about: "",
        from: DateTime::UNIX_EPOCH,
        to: DateTime::UNIX_EPOCH,
        bucket: 3600,
        layers: &[],
        bars: Vec::new(),
        axis: |_| String::new(),
        scale: ChartScale::Linear,
        is_wide: false,
        marks: &[],
    };

    #[test]
    fn ten_times_as_much_is_as_far_everywhere_on_a_logarithmic_scale() {
        let axis = ValueAxis::of(ChartScale::Log, [3.0, 250.0, 0.0].into_iter());
        assert_eq!(axis.lines.iter().map(|line| line.round()).collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1000.0]);
        let step = axis.y(10.0) - axis.y(100.0);
        assert!((axis.y(1.0) - axis.y(10.0) - step).abs() < 0.01 && step > 0.0);
        // Nothing to show, or what is no number, is shown as ever.
        for values in [vec![], vec![0.0], vec![f64::INFINITY, 1.0]] {
            assert_eq!(ValueAxis::of(ChartScale::Log, values.into_iter()).scale, ChartScale::Linear);
        }
        let wide = ValueAxis::of(ChartScale::Log, [1e-9, 1e9].into_iter());
        assert_eq!(wide.lines.len(), 7);
    }

    #[test]
    fn marks_stand_at_their_time_and_hide_nothing() {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).unwrap();
        let mark = |hour, title: &str| ChartMark { at: at(hour), title: title.to_owned() };
        let marks = [mark(2, "<b>\u{202e}Ada applied packs"), mark(9, "later")];
        let drawn = BarChart { from: at(0), to: at(4), marks: &marks, ..EMPTY }.draw().into_string();
        assert_eq!(drawn.matches("class=\"mark\"").count(), 1, "{drawn}");
        assert!(drawn.contains("&lt;b&gt;Ada applied packs") && drawn.contains("x1=\"389\""), "{drawn}");
    }

    #[test]
    fn times_are_round() {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).unwrap();
        let times = |from, to| {
            let bars = Vec::new();
            let (about, layers) = ("x", &[][..]);
            let chart = BarChart {
                about,
                from: at(from),
                to: at(to),
                bucket: 3600,
                layers,
                bars,
                axis: |_| String::new(),
                ..EMPTY
            };
            chart.times().into_iter().map(|(_, written)| written).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(times(2, 26), "06:00 12:00 18:00 2 Jan");
        assert_eq!(times(15, 63), "2 Jan 12:00 3 Jan 12:00");
        assert_eq!(times(5, 174), "3 Jan 5 Jan 7 Jan");
    }

    #[test]
    fn gaps_stay_gaps() {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).unwrap();
        let bar = |hour, top| Bar { start: at(hour), tops: vec![top], title: String::new(), opens: None };
        let chart = BarChart {
            about: "x",
            from: at(0),
            to: at(4),
            bucket: 3600,
            layers: &["area-1"],
            bars: vec![bar(0, 1.0), bar(3, 2.0)],
            axis: |value| value.to_string(),
            ..EMPTY
        };
        let drawn = chart.draw().into_string();
        assert_eq!(drawn.matches('z').count(), 2, "{drawn}");
        assert!(drawn.contains("M58 174V") && drawn.contains("M554.5 174V"), "{drawn}");
    }
}
