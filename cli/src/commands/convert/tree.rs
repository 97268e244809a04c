use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A range of the cleaned text: byte offset and width in characters.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub offset: usize,
    pub width: usize,
}

/// A JSON value with its position: that of the key for members of objects, otherwise its own.
#[derive(Debug)]
pub struct JsonNode {
    pub at: Span,
    pub data: JsonData,
}

#[derive(Debug)]
pub enum JsonData {
    /// Null, a boolean, a number or a string.
    Scalar(Value),
    Array(Vec<JsonNode>),
    /// Members in source order; keys may repeat.
    Object(Vec<(String, JsonNode)>),
}

impl JsonNode {
    /// Parses text that is known to be JSON of bounded depth.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Self::read(text, serde_json::from_str(text)?)
    }

    fn read(text: &str, raw: &RawValue) -> Result<Self, serde_json::Error> {
        let written = raw.get();
        let offset = written.as_ptr().addr() - text.as_ptr().addr();
        let data = match written.as_bytes().first() {
            Some(b'{') => {
                let JsonMembers(members) = serde_json::from_str(written)?;
                let member = |(key, raw): (String, &RawValue)| {
                    let mut value = Self::read(text, raw)?;
                    value.at = key_before(text, value.at.offset);
                    Ok((key, value))
                };
                JsonData::Object(members.into_iter().map(member).collect::<Result<_, serde_json::Error>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(written)?;
                JsonData::Array(items.into_iter().map(|item| Self::read(text, item)).collect::<Result<_, _>>()?)
            }
            _ => JsonData::Scalar(serde_json::from_str(written)?),
        };
        Ok(Self { at: Span { offset, width: written.chars().count() }, data })
    }
}

/// The key before the value of a member, with its quotes.
fn key_before(text: &str, value: usize) -> Span {
    let end = text[..value].rfind('"').map_or(value, |quote| quote + 1);
    let quotes = text[..end].rmatch_indices('"').map(|(at, _)| at).skip(1);
    // Quotes in the key are preceded by an odd number of backslashes.
    let is_escaped = |at: usize| text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    let offset = quotes.into_iter().find(|at| !is_escaped(*at)).unwrap_or(value);
    Span { offset, width: text[offset..end].chars().count() }
}

/// The members of an object, duplicates included.
struct JsonMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for JsonMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JsonMembersVisitor)
    }
}

struct JsonMembersVisitor;

impl<'de> Visitor<'de> for JsonMembersVisitor {
    type Value = JsonMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonMembers<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(JsonMembers(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_where_their_keys_do() {
        let text = r#" { "a": 1, "q\"\\" : ["x", {"ü": null, "ü": true}] } "#;
        let JsonData::Object(members) = JsonNode::parse(text).unwrap().data else { panic!("no object") };
        let [(a, one), (odd, list)] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!((a.as_str(), one.at.offset, one.at.width), ("a", 3, 3));
        assert_eq!((odd.as_str(), list.at.offset, list.at.width), ("q\"\\", 11, 7));
        let JsonData::Array(items) = &list.data else { panic!("{list:?}") };
        assert_eq!(&text[items[0].at.offset..][..items[0].at.width], "\"x\"");
        let JsonData::Object(inner) = &items[1].data else { panic!("{items:?}") };
        assert_eq!(inner.len(), 2);
        assert_eq!((inner[1].1.at.offset, inner[1].1.at.width), (text.rfind("\"ü\"").unwrap(), 3));
    }
}
