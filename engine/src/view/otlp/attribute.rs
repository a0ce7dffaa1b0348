//! A key and a value, as the protocol spells them.

use crate::text::clean;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::borrow::Cow;

pub enum Value {
    Text(String),
    Int(i128),
    Bool(bool),
    Array(Vec<Value>),
}

impl Value {
    pub fn of(text: &str) -> Value {
        Value::Text(clean(text).into_owned())
    }
    pub fn ints(numbers: &[u32]) -> Value {
        Value::Array(numbers.iter().map(|n| Value::Int((*n).into())).collect())
    }
}

#[derive(Serialize)]
pub struct Attribute<'a> {
    key: Cow<'a, str>,
    value: Value,
}

impl<'a> Attribute<'a> {
    pub fn new(key: String, value: Value) -> Self {
        Attribute { key: key.into(), value }
    }
    pub fn text(key: &'a str, text: &str) -> Self {
        Attribute { key: key.into(), value: Value::of(text) }
    }
    pub fn texts(key: &'a str, texts: &[String]) -> Self {
        Attribute { key: key.into(), value: Value::Array(texts.iter().map(|t| Value::of(t)).collect()) }
    }
    pub fn int(key: &'a str, number: impl Into<i128>) -> Self {
        Attribute { key: key.into(), value: Value::Int(number.into()) }
    }
    pub fn flag(key: &'a str) -> Self {
        Attribute { key: key.into(), value: Value::Bool(true) }
    }
    /// True where it says nothing.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Text(text) => text.is_empty(),
            Value::Array(values) => values.is_empty() && !self.key.ends_with(".caps"),
            Value::Int(_) | Value::Bool(_) => false,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Values<'a> {
            values: &'a [Value],
        }
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Value::Text(text) => map.serialize_entry("stringValue", text)?,
            Value::Bool(yes) => map.serialize_entry("boolValue", yes)?,
            // The protocol has 64 bits and a sign; as a string, for a double does not hold them.
            Value::Int(n) => map.serialize_entry("intValue", &(*n).min(i64::MAX.into()).to_string())?,
            Value::Array(values) => map.serialize_entry("arrayValue", &Values { values })?,
        }
        map.end()
    }
}
