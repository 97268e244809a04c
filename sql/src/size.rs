//! How much SQLite makes of a statement before it answers.
//!
//! SQLite writes out a common table expression at each place that names it, and `*` as all columns. So the work and the memory
//! for a text of a kilobyte can double with each line: thirty lines of `b AS (SELECT * FROM a, a)` take all memory of a server. It
//! asks nobody while it does so; therefore this is bounded before SQLite sees the text.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::tokens::Token;

/// Most tokens of a statement when all is written out. The longest statement has fewer.
pub(crate) const MAX_WEIGHT: usize = 200_000;

/// Deepest nesting of parentheses and of names for other parts. SQLite uses its stack for each.
pub(crate) const MAX_DEPTH: usize = 100;

/// What `*` counts: more columns than the tables of a statement have together.
const WEIGHT_OF_ALL: usize = 1_000;

/// Why a statement is not given to SQLite.
pub(crate) const TOO_LARGE: &str = "names its own parts too often, or nests them too deeply";

/// Most common table expressions and views. People write fewer than 20.
const MAX_PARTS: usize = 500;

/// The tokens of a statement when everything that it names is written out; `None` beyond the bounds. `views` are the tokens of
/// views by name, in small letters.
pub(crate) fn weight(statement: &[Token<'_>], views: &BTreeMap<String, Vec<Token<'_>>>) -> Option<usize> {
    let mut parts = Parts::default();
    parts.texts.push(statement);
    parts.find_expressions(0);
    for (name, tokens) in views {
        parts.texts.push(tokens);
        let text = parts.texts.len() - 1;
        parts.views.insert(name, parts.bodies.len());
        parts.bodies.push(Body { text, range: 0..tokens.len() });
        parts.find_expressions(text);
    }
    if parts.bodies.len() > MAX_PARTS {
        return None;
    }
    let whole = Body { text: 0, range: 0..statement.len() };
    parts.size(&whole, 0).map(|size| size.weight)
}

#[derive(Debug, Clone)]
struct Body {
    text: usize,
    range: Range<usize>,
}

/// A common table expression.
#[derive(Debug)]
struct Expression {
    /// The tokens among which its name is known.
    scope: Range<usize>,
    body: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    weight: usize,
    depth: usize,
}

/// Common table expressions and views, and where their names mean them.
#[derive(Default)]
struct Parts<'a> {
    texts: Vec<&'a [Token<'a>]>,
    bodies: Vec<Body>,
    views: HashMap<&'a str, usize>,
    /// By text and name.
    expressions: HashMap<(usize, String), Vec<Expression>>,
    /// The end of the body that begins at this place of a text.
    declared: HashMap<(usize, usize), usize>,
    /// Sizes of bodies; `None` while one is being found, to which its own name in it does not add.
    known: HashMap<usize, Option<Size>>,
}

impl Parts<'_> {
    /// Finds `name [(columns)] AS [[NOT] MATERIALIZED] (SELECT …)`.
    fn find_expressions(&mut self, text: usize) {
        let tokens = self.texts[text];
        let Pairs { closing, opening, around } = Pairs::of(tokens);
        for at in (0..tokens.len()).filter(|at| tokens[*at].is_word("AS")) {
            let mut begin = at + 1;
            while tokens.get(begin).is_some_and(|token| token.is_word("NOT") || token.is_word("MATERIALIZED")) {
                begin += 1;
            }
            let is_query = |token: &Token<'_>| ["SELECT", "VALUES", "WITH"].iter().any(|word| token.is_word(word));
            let (Some(end), true) = (closing.get(&begin), tokens.get(begin + 1).is_some_and(is_query)) else {
                continue;
            };
            let before =
                at.checked_sub(1).and_then(|last| opening.get(&last).map_or(Some(last), |open| open.checked_sub(1)));
            let Some((named_at, name)) = before.and_then(|before| Some((before, tokens[before].name()?))) else {
                continue;
            };
            let scope = around[named_at]
                .map_or(0..tokens.len(), |open| open..closing.get(&open).copied().unwrap_or(tokens.len()));
            self.expressions.entry((text, name)).or_default().push(Expression { scope, body: self.bodies.len() });
            self.declared.insert((text, begin + 1), *end);
            self.bodies.push(Body { text, range: begin + 1..*end });
        }
    }

    /// The body that a name means at some place.
    fn named(&self, text: usize, at: usize, name: &str) -> Option<usize> {
        let known = self.expressions.get(&(text, name.to_owned())).into_iter().flatten();
        let innermost = known.filter(|known| known.scope.contains(&at)).min_by_key(|known| known.scope.len());
        innermost.map(|known| known.body).or_else(|| self.views.get(name).copied())
    }

    /// The size of a part without the bodies that are declared in it, which count where they are named. `None` beyond the bounds.
    fn size(&mut self, part: &Body, level: usize) -> Option<Size> {
        if level > MAX_DEPTH {
            return None;
        }
        let tokens = self.texts[part.text];
        let (mut size, mut nested, mut at) = (Size::default(), 0_usize, part.range.start);
        while at < part.range.end {
            if let (Some(end), true) = (self.declared.get(&(part.text, at)), at != part.range.start) {
                at = *end;
                continue;
            }
            let token = tokens[at];
            size.weight += 1;
            if token.is_symbol("(") || token.is_word("CASE") {
                nested += 1;
            } else if token.is_symbol(")") || token.is_word("END") {
                nested = nested.saturating_sub(1);
            } else if token.is_symbol("*") && at.checked_sub(1).is_some_and(|before| is_before_all(&tokens[before])) {
                size.weight += WEIGHT_OF_ALL;
            }
            size.depth = size.depth.max(nested);
            let is_qualifier = tokens.get(at + 1).is_some_and(|next| next.is_symbol("."));
            let named = token.name().filter(|_| !is_qualifier).and_then(|name| self.named(part.text, at, &name));
            if let Some(named) = named {
                let inner = self.size_of_body(named, level + 1)?;
                size.weight = size.weight.saturating_add(inner.weight);
                size.depth = size.depth.max(nested + 1 + inner.depth);
            }
            if size.weight > MAX_WEIGHT || size.depth > MAX_DEPTH {
                return None;
            }
            at += 1;
        }
        Some(size)
    }

    fn size_of_body(&mut self, named: usize, level: usize) -> Option<Size> {
        if let Some(known) = self.known.get(&named) {
            return Some(known.unwrap_or_default());
        }
        self.known.insert(named, None);
        let body = self.bodies[named].clone();
        let size = self.size(&body, level)?;
        self.known.insert(named, Some(size));
        Some(size)
    }
}

/// The parentheses of a text.
struct Pairs {
    closing: HashMap<usize, usize>,
    opening: HashMap<usize, usize>,
    /// The opening parenthesis around each token.
    around: Vec<Option<usize>>,
}

impl Pairs {
    fn of(tokens: &[Token<'_>]) -> Self {
        let mut open: Vec<usize> = Vec::new();
        let mut pairs = Self { closing: HashMap::new(), opening: HashMap::new(), around: Vec::new() };
        for (at, token) in tokens.iter().enumerate() {
            pairs.around.push(open.last().copied());
            if token.is_symbol("(") {
                open.push(at);
            } else if token.is_symbol(")")
                && let Some(begin) = open.pop()
            {
                pairs.closing.insert(begin, at);
                pairs.opening.insert(at, begin);
            }
        }
        pairs
    }
}

/// Whether `*` behind this means columns, and is no product.
fn is_before_all(token: &Token<'_>) -> bool {
    token.is_symbol(",") || token.is_symbol(".") || ["SELECT", "DISTINCT", "ALL"].iter().any(|word| token.is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn weight_of(sql: &str) -> Option<usize> {
        weight(&tokens(sql), &BTreeMap::new())
    }

    /// A chain of expressions, each made of the one before.
    fn chain(length: usize, body: impl Fn(&str) -> String) -> String {
        let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
        for at in 1..length {
            sql.push_str(&format!(", a{at} AS ({})", body(&format!("a{}", at - 1))));
        }
        format!("{sql} SELECT x FROM a{}", length - 1)
    }

    #[test]
    fn statements_of_people_are_far_below_the_bounds() {
        let sql = "WITH p AS (SELECT * FROM processes), q(a, b) AS MATERIALIZED (SELECT pid, name FROM p) \
                   SELECT p.*, q.a * 2 FROM p JOIN q ON p.pid = q.a WHERE p.name IN (SELECT name FROM p)";
        assert!(weight_of(sql).unwrap() < 20_000);
        assert!(weight_of(&chain(40, |before| format!("SELECT x FROM {before}"))).is_some());
    }

    #[test]
    fn what_doubles_with_each_line_is_refused() {
        assert_eq!(weight_of(&chain(30, |before| format!("SELECT a.x FROM {before} AS a, {before} AS b"))), None);
        assert_eq!(
            weight_of(&chain(30, |before| format!("SELECT x FROM {before} UNION SELECT x FROM \"{before}\""))),
            None
        );
        assert_eq!(weight_of(&chain(400, |before| format!("SELECT x FROM {before}"))), None, "too deep");
        assert_eq!(weight_of(&format!("SELECT {}1", "(".repeat(200))), None, "too deep");
        assert_eq!(weight_of(&format!("SELECT {} FROM processes", vec!["*"; 500].join(","))), None);
        assert!(weight_of("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n").is_some());
    }

    #[test]
    fn a_name_means_what_it_means_where_it_stands() {
        // The same name in one expression after the other, each made of the one before.
        let mut sql = "WITH b0 AS (SELECT 1 AS x)".to_owned();
        for at in 1..30 {
            sql.push_str(&format!(
                ", b{at} AS (WITH a AS (SELECT l.x FROM b{0} AS l, b{0}) SELECT l.x FROM a AS l, a)",
                at - 1
            ));
        }
        assert_eq!(weight_of(&format!("{sql} SELECT x FROM b29")), None);
        // A column of the name of an expression.
        assert!(
            weight_of("WITH users AS (SELECT pid FROM processes), pid AS (SELECT pid FROM users) SELECT pid FROM pid")
                .is_some()
        );
    }

    #[test]
    fn views_count_as_expressions_do() {
        let views: Vec<String> = (1..30).map(|at| format!("SELECT * FROM v{0} AS a, v{0} AS b", at - 1)).collect();
        let views = views.iter().enumerate().map(|(at, sql)| (format!("v{}", at + 1), tokens(sql))).collect();
        assert_eq!(weight(&tokens("SELECT * FROM v29"), &views), None);
        assert!(weight(&tokens("SELECT * FROM v2"), &views).is_some());
    }
}
