//! The schemas of our kinds as the program has them at hand: what [`check`](super::check) looks at and nothing else, read
//! from a generated file, for the types that write the CRDs take megabytes on their way there.

use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Kind -> its schema; `UPDATE=1 cargo test --test crds` writes it.
pub const TEXT: &str = include_str!("kinds.json");

static KINDS: LazyLock<Fields<Schema>> = LazyLock::new(|| serde_json::from_str(TEXT).unwrap_or_default());

/// The schema of a whole object of `kind` (`apiVersion`, `metadata` left open), as this program knows it.
pub fn of(kind: &str) -> Option<&'static Schema> {
    KINDS.get(kind)
}

/// A node of a schema. What it doesn't say has no bound.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Schema {
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub kind: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Fields<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_properties: Option<Box<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Schema>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub required: Box<[Box<str>]>,
    #[serde(rename = "enum", skip_serializing_if = "<[_]>::is_empty")]
    pub values: Box<[Box<str>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_properties: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_properties: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-list-map-keys", skip_serializing_if = "<[_]>::is_empty")]
    pub keys: Box<[Box<str>]>,
    #[serde(rename = "x-kubernetes-list-type", skip_serializing_if = "Option::is_none")]
    pub list: Option<Box<str>>,
}

/// A map in one piece of memory, in the order of the text.
#[derive(Debug, PartialEq, Eq)]
pub struct Fields<T>(Box<[(Box<str>, T)]>);

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> Fields<T> {
    pub fn get(&self, name: &str) -> Option<&T> {
        self.iter().find(|(field, _)| *field == name).map(|(_, inner)| inner)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(field, inner)| (&**field, inner))
    }
}

impl<T: Serialize> Serialize for Fields<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Fields<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Fields(pairs.into_boxed_slice()))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}
