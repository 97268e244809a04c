use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_yaml::{Location, Spanned};

/// A YAML value with its location.
#[derive(Debug, Clone)]
pub struct YamlNode {
    pub at: Location,
    pub data: YamlData,
}

#[derive(Debug, Clone)]
pub enum YamlData {
    /// Null, a boolean, a number or a string.
    Scalar(Value),
    Sequence(Vec<YamlNode>),
    Mapping(Vec<YamlEntry>),
}

#[derive(Debug, Clone)]
pub struct YamlEntry {
    pub key: String,
    pub key_at: Location,
    pub value: YamlNode,
}

impl YamlNode {
    pub fn is_null(&self) -> bool {
        matches!(self.data, YamlData::Scalar(Value::Null))
    }

    /// The same value without locations.
    pub fn to_json(&self) -> Value {
        match &self.data {
            YamlData::Scalar(value) => value.clone(),
            YamlData::Sequence(items) => items.iter().map(Self::to_json).collect(),
            YamlData::Mapping(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for YamlNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // For aliases and merges, `defined` is the text to correct and `referenced` only its use.
        let spanned = Spanned::<YamlData>::deserialize(deserializer)?;
        Ok(Self { at: spanned.defined, data: spanned.value })
    }
}

impl<'de> Deserialize<'de> for YamlData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlDataVisitor)
    }
}

struct YamlDataVisitor;

impl<'de> Visitor<'de> for YamlDataVisitor {
    type Value = YamlData;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<YamlData, E> {
        Ok(YamlData::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<YamlData, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(YamlData::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<YamlData, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            entries.push(YamlEntry { key: key.value, key_at: key.defined, value });
        }
        Ok(YamlData::Mapping(entries))
    }
}
