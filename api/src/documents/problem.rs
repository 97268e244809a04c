use std::fmt;

use serde_yaml::Location;

/// Characters of a line shown around a problem.
const EXCERPT_CHARS: usize = 120;

/// The text of a file or of standard input.
#[derive(Debug, Clone)]
pub struct SourceText {
    pub name: String,
    pub text: String,
}

/// A problem in a file, with the line where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentProblem {
    pub reason: String,
    location: Option<SourceLocation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceLocation {
    file: String,
    line: usize,
    column: usize,
    /// The source line, shortened around the problem.
    excerpt: String,
    /// The line below the excerpt: spaces, then carets.
    underline: String,
}

impl DocumentProblem {
    /// A problem without a location.
    pub fn general(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), location: None }
    }

    pub fn at(source: &SourceText, at: Location, reason: impl Into<String>) -> Self {
        let position = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self::at_line(source, position(at.line()), position(at.column()), position(at.span().len()), reason)
    }

    /// A problem of `width` characters on a line. Lines and columns count from 1.
    pub fn at_line(source: &SourceText, line: usize, column: usize, width: usize, reason: impl Into<String>) -> Self {
        if line == 0 || column == 0 {
            return Self::general(format!("{}: {}", source.name, reason.into()));
        }
        let text = source.text.lines().nth(line - 1).unwrap_or_default();
        let (excerpt, underline) = excerpt(text, column - 1, width);
        let location = SourceLocation { file: source.name.clone(), line, column, excerpt, underline };
        Self { reason: reason.into(), location: Some(location) }
    }

    /// The same problem as a warning.
    pub fn into_warning(self) -> Self {
        Self { reason: format!("warning: {}", self.reason), ..self }
    }

    /// A problem reported by the YAML parser.
    pub fn yaml(source: &SourceText, error: &serde_yaml::Error) -> Self {
        let reason = reason(error.without_snippet());
        match error.location() {
            Some(at) => Self::at(source, at, reason),
            None => Self::general(format!("{}: {reason}", source.name)),
        }
    }

    /// File, line and reason, without the text that stands there: it may be a secret.
    pub fn in_one_line(&self) -> String {
        match &self.location {
            Some(at) => format!("{}:{}:{}: {}", at.file, at.line, at.column, self.reason),
            None => self.reason.clone(),
        }
    }

    /// Line and column, for sorting.
    pub fn position(&self) -> (usize, usize) {
        self.location.as_ref().map_or((0, 0), |location| (location.line, location.column))
    }
}

impl fmt::Display for DocumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(location) = &self.location else {
            return f.write_str(&self.reason);
        };
        let number = location.line.to_string();
        let gap = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", location.file, location.line, location.column, self.reason)?;
        writeln!(f, "  {number} | {}", location.excerpt)?;
        write!(f, "  {gap} | {}", location.underline)
    }
}

/// Cuts the line around `start` and underlines `width` characters from there.
fn excerpt(line: &str, start: usize, width: usize) -> (String, String) {
    let chars: Vec<char> = line.chars().collect();
    let start = start.min(chars.len());
    let from = if chars.len() <= EXCERPT_CHARS { 0 } else { start.saturating_sub(EXCERPT_CHARS / 2) };
    let to = chars.len().min(from + EXCERPT_CHARS);
    let (head, tail) = (if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" });
    let shown = |c: &char| {
        if c.is_control() && *c != '\t' { char::REPLACEMENT_CHARACTER } else { *c }
    };
    let body: String = chars[from..to].iter().map(shown).collect();
    // Tabs stay tabs, so that the caret is aligned at any tab width.
    let blanks = chars[from..start].iter().map(|c| if *c == '\t' { '\t' } else { ' ' });
    let carets = width.clamp(1, to.saturating_sub(start).max(1));
    let underline = head.chars().map(|_| ' ').chain(blanks).collect::<String>() + &"^".repeat(carets);
    (format!("{head}{body}{tail}"), underline)
}

fn reason(error: &serde_yaml::Error) -> String {
    use serde_yaml::Error;
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key:?} is a duplicate; remove one of the two")
        }
        Error::DuplicateMappingKey { key: None, .. } => "the key is a duplicate; remove one of the two".to_owned(),
        Error::NullIntoString { .. } => "a key must not be null".to_owned(),
        Error::NonFiniteFloat { value, .. } => {
            format!("{value} is not a finite number; quote it to make it a string")
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "the anchor contains itself".to_owned(),
        Error::UnknownAnchor { .. } => "the anchor is not defined before this alias".to_owned(),
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {field:?}; expected one of: {}", expected.join(", "))
        }
        other => {
            let text = other.render();
            let Some(at) = other.location() else {
                return text;
            };
            let suffix = format!(" at line {}, column {}", at.line(), at.column());
            let text = text.strip_suffix(&suffix).unwrap_or(&text);
            let remedy = match text.contains("mapping values are not allowed") {
                true => "; is there a colon in the text? Quote it, or write it on the lines below `|-`",
                false => "",
            };
            format!("{text}{remedy}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn short_lines_are_shown_whole() {
        assert_eq!(excerpt("  interval: 0", 2, 8), ("  interval: 0".to_owned(), "  ^^^^^^^^".to_owned()));
    }

    #[test]
    fn tabs_keep_the_caret_in_place() {
        assert_eq!(excerpt("\ta: b", 1, 1).1, "\t^");
    }

    #[test]
    fn long_lines_are_cut_around_the_problem() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let (text, underline) = excerpt(&line, 500, 4);
        assert_eq!(text.chars().count(), 122);
        let at = underline.find('^').unwrap();
        assert_eq!(text.chars().skip(at).take(4).collect::<String>(), "HERE");
    }

    #[test]
    fn the_end_of_a_line_can_be_underlined() {
        assert_eq!(excerpt("a: [", 4, 0).1, "    ^");
    }
}
