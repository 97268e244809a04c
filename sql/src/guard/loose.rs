//! YAML whose values are of any kind, with their places: so that all mistakes can be told at once.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;

/// A value as it stands there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Loose {
    Nothing,
    Flag(bool),
    Whole(i128),
    /// A number that is not whole.
    Broken,
    Text(String),
    List(Vec<Spanned<Loose>>),
    Map(LooseMap),
}

/// Keys and values in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LooseMap(pub Vec<(Spanned<String>, Spanned<Loose>)>);

impl Loose {
    /// The value in few words, for whoever has written it.
    pub fn shown(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Broken => "a number that is not whole".to_owned(),
            Self::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "keys with values".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Nothing)
    }

    fn visit_none<E>(self) -> Result<Loose, E> {
        Ok(Loose::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Loose, D::Error> {
        Loose::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Loose, E> {
        Ok(Loose::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
        Ok(Loose::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Whole(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Loose, E> {
        Ok(Loose::Whole(number))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Loose, E> {
        Ok(i128::try_from(number).map_or(Loose::Broken, Loose::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
        Ok(Loose::Broken)
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Loose, E> {
        Ok(Loose::Broken)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = list.next_element()? {
            all.push(value);
        }
        Ok(Loose::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loose, A::Error> {
        entries(map).map(Loose::Map)
    }
}

impl<'de> Deserialize<'de> for LooseMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;
        impl<'de> Visitor<'de> for MapVisitor {
            type Value = LooseMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys with values")
            }

            fn visit_unit<E>(self) -> Result<LooseMap, E> {
                Ok(LooseMap::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LooseMap, A::Error> {
                entries(map)
            }
        }
        deserializer.deserialize_map(MapVisitor)
    }
}

fn entries<'de, A: MapAccess<'de>>(mut map: A) -> Result<LooseMap, A::Error> {
    let mut all = Vec::new();
    while let Some(entry) = map.next_entry()? {
        all.push(entry);
    }
    Ok(LooseMap(all))
}
