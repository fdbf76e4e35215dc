//! Untrusted YAML and JSON text to a bounded tree of values: size, depth, node count and duplicate
//! keys are checked while reading. Not here: what the values mean.
//!
//! YAML aliases repeat what they name, so a few hundred bytes can stand for billions of nodes
//! ("billion laughs"). The reader counts every node and every byte of text it produces and stops at
//! the limit, so such a text costs as much as the limit and no more.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How much a text may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most bytes of input.
    pub(crate) bytes: usize,
    /// Most values in the tree, every alias followed.
    pub(crate) nodes: usize,
    /// Most bytes of text in the tree, every alias followed.
    pub(crate) text: usize,
    /// Deepest nesting.
    pub(crate) depth: usize,
}

/// Why a text could not be read into a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The text is longer than the limit.
    #[error("{bytes} bytes are more than the {limit} that are read")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The text is broken, repeats a key, or grows beyond the limits when its aliases are followed.
    #[error("{0}")]
    Broken(String),
}

/// Reads one YAML document.
pub(crate) fn read_yaml(bytes: &[u8], limits: Limits) -> Result<Value, TreeError> {
    check_size(bytes, limits)?;
    let budget = Budget::new(limits);
    let broken = |error: yaml_serde::Error| TreeError::Broken(error.to_string());
    budget
        .seed(0)
        .deserialize(yaml_serde::Deserializer::from_slice(bytes))
        .map_err(broken)
}

/// Reads one JSON document, with nothing behind it.
pub(crate) fn read_json(bytes: &[u8], limits: Limits) -> Result<Value, TreeError> {
    check_size(bytes, limits)?;
    let budget = Budget::new(limits);
    let broken = |error: serde_json::Error| TreeError::Broken(error.to_string());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = budget.seed(0).deserialize(&mut reader).map_err(broken)?;
    reader.end().map_err(broken)?;
    Ok(value)
}

fn check_size(bytes: &[u8], limits: Limits) -> Result<(), TreeError> {
    if bytes.len() > limits.bytes {
        return Err(TreeError::TooLarge {
            bytes: bytes.len(),
            limit: limits.bytes,
        });
    }
    Ok(())
}

struct Budget {
    limits: Limits,
    nodes: Cell<usize>,
    text: Cell<usize>,
}

impl Budget {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            nodes: Cell::new(0),
            text: Cell::new(0),
        }
    }

    fn seed(&self, depth: usize) -> Seed<'_> {
        Seed {
            budget: self,
            depth,
        }
    }

    fn node<E: serde::de::Error>(&self, text: usize) -> Result<(), E> {
        self.nodes.set(self.nodes.get() + 1);
        self.text.set(self.text.get().saturating_add(text));
        if self.nodes.get() > self.limits.nodes {
            return Err(E::custom(format_args!(
                "more than {} values",
                self.limits.nodes
            )));
        }
        if self.text.get() > self.limits.text {
            return Err(E::custom(format_args!(
                "more than {} bytes of text",
                self.limits.text
            )));
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Seed<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl<'b> Seed<'b> {
    fn inner<E: serde::de::Error>(self) -> Result<Seed<'b>, E> {
        if self.depth >= self.budget.limits.depth {
            return Err(E::custom(format_args!(
                "nested deeper than {}",
                self.budget.limits.depth
            )));
        }
        Ok(self.budget.seed(self.depth + 1))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, list, text, number, true, false or null")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.budget.node(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.budget.node(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.budget.node(0)?;
        Ok(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.budget.node(0)?;
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.budget.node(0)?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format_args!("`{value}` is not a finite number")))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.budget.node(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        self.budget.node(0)?;
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        self.budget.node(0)?;
        let inner = self.inner()?;
        let mut members = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            self.budget.node(key.len())?;
            let value = from.next_value_seed(inner)?;
            if members.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` stands twice"
                )));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 4_096,
        nodes: 100,
        text: 1_000,
        depth: 8,
    };

    fn check(yaml: &str, expected: &str) {
        let shown = match read_yaml(yaml.as_bytes(), LIMITS) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(
            shown.contains(expected),
            "{yaml:.60} gave {shown}, not {expected}"
        );
    }

    #[test]
    fn reads_within_limits() {
        check("a: [1, 2.5, x, ~, true]", r#"{"a":[1,2.5,"x",null,true]}"#);
        check("a: &x [1]\nb: *x", r#"{"a":[1],"b":[1]}"#);
        check("a: 1\na: 2", "the key `a` stands twice");
        check("a: .nan", "is not a finite number");
        check("[[[[[[[[[[1]]]]]]]]]]", "nested deeper than 8");
        check(
            &"x".repeat(5_000),
            "5000 bytes are more than the 4096 that are read",
        );
        check(&format!("[{}]", "1,".repeat(200)), "more than 100 values");
        check(
            &format!("[{}]", format!("{},", "x".repeat(600)).repeat(2)),
            "more than 1000 bytes",
        );
    }

    #[test]
    fn stops_an_alias_bomb() {
        let mut bomb = String::from("a: &a [1,1,1,1,1,1,1,1,1]\n");
        for (name, of) in ["b", "c", "d", "e", "f", "g"]
            .iter()
            .zip(["a", "b", "c", "d", "e", "f"])
        {
            let alias = format!("*{of},").repeat(9);
            bomb.push_str(&format!("{name}: &{name} [{alias}]\n"));
        }
        let limits = Limits {
            nodes: 10_000,
            ..LIMITS
        };
        let error = read_yaml(bomb.as_bytes(), limits).unwrap_err().to_string();
        assert!(
            error.contains("more than 10000 values") || error.contains("repetition limit"),
            "{error}"
        );
    }

    #[test]
    fn json_ends_where_it_ends() {
        assert!(read_json(b"{} {}", LIMITS).is_err());
        assert!(read_json(br#"{"a":1,"a":2}"#, LIMITS).is_err());
        assert_eq!(read_json(b"[1]", LIMITS).unwrap(), serde_json::json!([1]));
    }
}
