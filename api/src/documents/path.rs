use serde_yaml::Location;

use super::node::{YamlData, YamlNode};

/// One segment of a field path such as `spec.queries[0]["odd key"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathSegment {
    Key(String),
    Index(usize),
}

/// Splits a field path. Stops at text that is not a path.
pub fn segments(path: &str) -> Vec<PathSegment> {
    let mut found = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (segment, after) = if let Some(inner) = rest.strip_prefix('[') {
            let Some(step) = bracketed(inner) else { break };
            step
        } else {
            let plain = rest.strip_prefix('.').unwrap_or(rest);
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            let (key, after) = plain.split_at(end);
            (PathSegment::Key(key.to_owned()), after)
        };
        found.push(segment);
        rest = after;
    }
    found
}

/// Parses `0]` or `"odd key"]`; returns the segment and the rest.
fn bracketed(inner: &str) -> Option<(PathSegment, &str)> {
    if inner.starts_with('"') {
        let mut strings = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let key = strings.next()?.ok()?;
        let after = inner.get(strings.byte_offset()..)?.strip_prefix(']')?;
        return Some((PathSegment::Key(key), after));
    }
    let (index, after) = inner.split_once(']')?;
    Some((PathSegment::Index(index.parse().ok()?), after))
}

/// The target of a path, or its nearest ancestor in the file.
#[derive(Debug)]
pub struct PathTarget<'a> {
    /// Location of the key for entries of mappings, of the item for sequences.
    pub at: Location,
    /// The value.
    pub node: &'a YamlNode,
    /// The part of the path that is not in the file.
    pub missing: Option<String>,
}

/// Follows a path from the root of a document.
pub fn find<'a>(root: &'a YamlNode, path: &[PathSegment]) -> PathTarget<'a> {
    let mut at = root.at;
    let mut node = root;
    for (depth, segment) in path.iter().enumerate() {
        let next = match (segment, &node.data) {
            (PathSegment::Index(index), YamlData::Sequence(items)) => items.get(*index).map(|item| (item.at, item)),
            (PathSegment::Index(index), YamlData::Mapping(_)) => entry(node, &index.to_string()),
            (PathSegment::Key(key), YamlData::Mapping(_)) => entry(node, key),
            _ => None,
        };
        let Some(next) = next else {
            return PathTarget { at, node, missing: Some(join(&path[depth..])) };
        };
        (at, node) = next;
    }
    PathTarget { at, node, missing: None }
}

fn entry<'a>(node: &'a YamlNode, key: &str) -> Option<(Location, &'a YamlNode)> {
    let YamlData::Mapping(entries) = &node.data else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    Some((entry.key_at, &entry.value))
}

fn join(segments: &[PathSegment]) -> String {
    let mut text = String::new();
    for segment in segments {
        match segment {
            PathSegment::Key(key) if text.is_empty() => text.push_str(key),
            PathSegment::Key(key) => text.extend([".", key]),
            PathSegment::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> PathSegment {
        PathSegment::Key(text.to_owned())
    }

    #[test]
    fn paths_split_at_dots_and_brackets() {
        assert_eq!(
            segments(r#"documents[2].spec["odd \"key\".x"][0].y"#),
            [
                key("documents"),
                PathSegment::Index(2),
                key("spec"),
                key("odd \"key\".x"),
                PathSegment::Index(0),
                key("y")
            ]
        );
    }

    #[test]
    fn invalid_segments_end_the_path() {
        assert_eq!(segments("a[oops].b"), [key("a")]);
        assert_eq!(segments(r#"a["open"#), [key("a")]);
        assert_eq!(segments(""), []);
    }
}
