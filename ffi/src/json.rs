//! JSON values as trees of typed leaves, bounded in depth, leaves and distinct paths.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use tantivy::DateTime;
use tantivy::time::OffsetDateTime;
use tantivy::time::format_description::well_known::Rfc3339;

const DEPTH_MAX: usize = 20;
const LEAVES_MAX: usize = 1000;
const PATH_BYTES_MAX: usize = 512;

/// A value or a level of one. Empty levels and nulls are left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Date(DateTime),
    Text(Box<str>),
    Array(Vec<Node>),
    Object(Vec<(Box<str>, Node)>),
}

/// The distinct paths of one index. A leaf whose path finds no room is not indexed by path; its words are still
/// those of the value. One topic's odd keys can take `topic_max` paths, all topics together `total_max`.
pub struct KnownPaths {
    paths: HashSet<u64>,
    by_topic: HashMap<Arc<str>, usize>,
    topic_max: usize,
    total_max: usize,
}

impl KnownPaths {
    pub fn new(topic_max: usize, total_max: usize) -> KnownPaths {
        KnownPaths { paths: HashSet::new(), by_topic: HashMap::new(), topic_max, total_max }
    }

    pub fn len(&self) -> usize {
        self.paths.len()
    }

    fn admits(&mut self, topic_id: &Arc<str>, path: u64) -> bool {
        if self.paths.contains(&path) {
            return true;
        }
        if self.paths.len() >= self.total_max {
            return false;
        }
        if !self.by_topic.contains_key(topic_id) {
            self.by_topic.insert(topic_id.clone(), 0);
        }
        match self.by_topic.get_mut(topic_id) {
            Some(count) if *count < self.topic_max => *count += 1,
            _ => return false,
        }
        self.paths.insert(path)
    }
}

/// The leaves of `value` if it is one JSON object or array, and has leaves.
pub fn parse(value: &[u8], topic_id: &Arc<str>, paths: &mut KnownPaths) -> Option<Node> {
    let first = value.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'{' | b'[') {
        return None;
    }
    let mut limits = Limits { topic_id, paths, leaves_left: LEAVES_MAX };
    let root = Level { limits: &mut limits, path: PATH_HASH_START, path_bytes: 0, depth: 0 };
    let mut deserializer = serde_json::Deserializer::from_slice(value);
    let node = root.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    match node? {
        // Tantivy's JSON field takes objects: a bare array has leaves without a path.
        Node::Array(elements) => objects_merged(elements),
        object => Some(object),
    }
}

/// The objects of a top-level array, as the elements of an array have the path of the array.
fn objects_merged(elements: Vec<Node>) -> Option<Node> {
    let mut members = Vec::new();
    for element in elements {
        if let Node::Object(own) = element {
            members.extend(own);
        }
    }
    (!members.is_empty()).then_some(Node::Object(members))
}

/// A date as RFC 3339 writes it, with time and zone, that fits Tantivy's nanoseconds.
pub fn date_of(text: &str) -> Option<DateTime> {
    let bytes = text.as_bytes();
    if !(20..=35).contains(&bytes.len()) || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    DateTime::try_from_utc(OffsetDateTime::parse(text, &Rfc3339).ok()?)
}

struct Limits<'l> {
    topic_id: &'l Arc<str>,
    paths: &'l mut KnownPaths,
    leaves_left: usize,
}

/// One level on the way down: what is read next lies at `path`.
struct Level<'a, 'l> {
    limits: &'a mut Limits<'l>,
    path: u64,
    path_bytes: usize,
    depth: usize,
}

const PATH_HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, so that `a.b` is the same path however it is nested.
fn path_hash(seed: u64, step: &str) -> u64 {
    let separator = if seed == PATH_HASH_START { "" } else { "." };
    separator
        .bytes()
        .chain(step.bytes())
        .fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Level<'_, '_> {
    fn leaf(self, node: Node) -> Option<Node> {
        if self.limits.leaves_left == 0 || !self.limits.paths.admits(self.limits.topic_id, self.path) {
            return None;
        }
        self.limits.leaves_left -= 1;
        Some(node)
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = Option<Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = Option<Node>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.leaf(Node::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.leaf(Node::I64(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.leaf(i64::try_from(value).map_or(Node::U64(value), Node::I64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.leaf(Node::F64(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.leaf(date_of(value).map_or_else(|| Node::Text(value.into()), Node::Date)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        if self.depth >= DEPTH_MAX {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        }
        let Level { limits, path, path_bytes, depth } = self;
        let mut nodes = Vec::new();
        while let Some(node) =
            elements.next_element_seed(Level { limits: &mut *limits, path, path_bytes, depth: depth + 1 })?
        {
            nodes.extend(node);
        }
        Ok((!nodes.is_empty()).then_some(Node::Array(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Level { limits, path, path_bytes, depth } = self;
        let mut nodes = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            let path_bytes = path_bytes + 1 + name.len();
            // Tantivy separates steps by these two bytes.
            let is_allowed = !name.bytes().any(|byte| byte <= 1);
            if depth >= DEPTH_MAX || path_bytes > PATH_BYTES_MAX || !is_allowed {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let path = path_hash(path, &name);
            let level = Level { limits: &mut *limits, path, path_bytes, depth: depth + 1 };
            if let Some(node) = members.next_value_seed(level)? {
                nodes.push((name.into_boxed_str(), node));
            }
        }
        Ok((!nodes.is_empty()).then_some(Node::Object(nodes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<Node> {
        parse(value.as_bytes(), &"topic".into(), &mut KnownPaths::new(100, 100))
    }

    fn text(value: &str) -> Node {
        Node::Text(value.into())
    }

    #[test]
    fn leaves_are_typed() {
        let Some(Node::Object(members)) = parsed(
            r#" {"a":1,"b":-1.5,"c":true,"d":null,"e":"x","f":"2024-02-03T04:05:06Z","g":18446744073709551615}"#,
        ) else {
            panic!("not an object")
        };
        let types: Vec<_> = members.iter().map(|(name, node)| (&**name, node.clone())).collect();
        assert_eq!(
            types[..4],
            [("a", Node::I64(1)), ("b", Node::F64(-1.5)), ("c", Node::Bool(true)), ("e", text("x")),]
        );
        assert!(matches!(types[4].1, Node::Date(_)));
        assert_eq!(types[5].1, Node::U64(u64::MAX));
    }

    #[test]
    fn only_whole_objects_and_arrays_count() {
        for value in
            ["", "  ", "17", "\"text\"", "{", "{\"a\":1} x", "{}", "[]", "[1]", "{\"a\":{}}", "not json"]
        {
            assert_eq!(parsed(value), None, "{value}");
        }
        let merged = Node::Object(vec![("a".into(), Node::I64(1)), ("b".into(), text("y"))]);
        assert_eq!(parsed(r#"[{"a":1},2,{"b":"y"}]"#), Some(merged));
    }

    #[test]
    fn depth_and_names_are_bounded() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        assert_eq!(parsed(&deep), None);
        assert_eq!(parsed(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))), None);
        assert_eq!(parsed("{\"a\\u0000b\":1,\"c\\u0001\":2}"), None);
        assert_eq!(parsed(&format!("{{\"{}\":1}}", "n".repeat(600))), None);
    }

    #[test]
    fn paths_are_bounded_by_topic_and_in_all() {
        let mut paths = KnownPaths::new(2, 3);
        let mut leaves = |topic: &str, value: &str| match parse(value.as_bytes(), &topic.into(), &mut paths) {
            Some(Node::Object(members)) => members.len(),
            _ => 0,
        };
        assert_eq!(leaves("t", r#"{"a":1,"b":1,"c":1}"#), 2);
        assert_eq!(leaves("t", r#"{"a":1,"d":1}"#), 1);
        assert_eq!(leaves("u", r#"{"a":1,"c":1,"d":1}"#), 2);
        assert_eq!(leaves("v", r#"{"x":1}"#), 0);
        assert_eq!(paths.len(), 3);
    }
}
