//! What a field name of a query stands for, and terms of it.

use crate::query::Scalar;
use crate::schema::FIELDS;
use tantivy::schema::{Field, Type};
use tantivy::{DateTime, Term};

pub enum Target {
    /// A string that is known as a whole.
    Exact(Field),
    /// Words of `words`; the whole string is in `exact`.
    Key {
        words: Field,
        exact: Field,
    },
    /// Words only.
    Words(Field),
    /// A number of a column. `is_indexed`: it has an inverted list too.
    Number {
        field: Field,
        is_indexed: bool,
    },
    Timestamp(Field),
    Json(JsonPath),
}

/// A path into JSON values.
pub struct JsonPath {
    path: String,
    /// Only the whole string counts: the name ended in `.keyword`.
    pub is_keyword: bool,
}

impl Target {
    pub fn of(name: &str) -> Target {
        let fields = &*FIELDS;
        match name {
            "_topic" | "_index" => Target::Exact(fields.topic),
            "_topic_id" => Target::Exact(fields.topic_id),
            "_partition" => Target::Number { field: fields.partition, is_indexed: true },
            "_offset" => Target::Number { field: fields.offset, is_indexed: false },
            "_timestamp" => Target::Timestamp(fields.timestamp),
            "_key" => Target::Key { words: fields.key, exact: fields.key_exact },
            "_value" => Target::Words(fields.value),
            "_headers" => Target::Words(fields.headers),
            "_topic.keyword" => Target::Exact(fields.topic),
            "_key.keyword" => Target::Exact(fields.key_exact),
            _ => Target::Json(JsonPath::of(name)),
        }
    }
}

impl JsonPath {
    fn of(name: &str) -> JsonPath {
        let (path, is_keyword) = match name.strip_suffix(".keyword") {
            Some(path) => (path, true),
            None => (name, false),
        };
        // A backslash would be read as an escape; names of fields with one are looked up literally.
        JsonPath { path: path.replace('\\', "\\\\"), is_keyword }
    }

    /// The name under which columns and `exists` know the path.
    pub fn column(&self) -> String {
        format!("{}.{}", crate::schema::JSON, self.path)
    }

    /// A word of a string.
    pub fn word(&self, word: &str) -> Term {
        let mut term = self.words();
        term.append_type_and_str(word);
        term
    }

    pub fn boolean(&self, value: bool) -> Term {
        let mut term = self.words();
        term.append_type_and_fast_value(value);
        term
    }

    /// A whole string, in the path's column.
    pub fn text(&self, text: &str) -> Term {
        let mut term = self.values();
        term.append_type_and_str(text);
        term
    }

    /// A number, in the path's column.
    pub fn number(&self, number: &Scalar) -> Option<Term> {
        let mut term = self.values();
        match number {
            Scalar::I64(value) => term.append_type_and_fast_value(*value),
            Scalar::U64(value) => term.append_type_and_fast_value(*value),
            Scalar::F64(value) => term.append_type_and_fast_value(*value),
            Scalar::Bool(_) | Scalar::Text(_) => return None,
        }
        Some(term)
    }

    /// A date, in the path's column.
    pub fn date(&self, date: DateTime) -> Term {
        let mut term = self.values();
        term.append_type_and_fast_value(date);
        term
    }

    /// What every word of the path starts with in the dictionary of words.
    pub fn words_start(&self) -> Vec<u8> {
        let mut bytes = self.words().serialized_value_bytes().to_vec();
        bytes.push(Type::Str.to_code());
        bytes
    }

    fn words(&self) -> Term {
        Term::from_field_json_path(FIELDS.json_words, &self.path, true)
    }

    fn values(&self) -> Term {
        Term::from_field_json_path(FIELDS.json, &self.path, true)
    }
}

/// A date as people write one: RFC 3339, or its start (a year, a month, a day, a minute), in UTC.
/// `is_end` fills what is missing with the last moment instead of the first, as Elasticsearch rounds `lte` and `gt`.
pub fn date_of(text: &str, is_end: bool) -> Option<DateTime> {
    if let Some(date) = crate::json::date_of(text) {
        return Some(date);
    }
    const FIRST: &str = "0000-01-01T00:00:00.000000000Z";
    const LAST: &str = "0000-12-31T23:59:59.999999999Z";
    let (start, zone) = match text.strip_suffix('Z') {
        Some(start) => (start, "Z"),
        None => split_zone(text),
    };
    if !is_start_of_date(start) {
        return None;
    }
    let fill = if is_end { LAST } else { FIRST };
    let rest = fill.get(start.len()..fill.len() - 1)?;
    let full = format!("{}{rest}{zone}", start.replacen(' ', "T", 1));
    // The last day of a month that is shorter than 31 days.
    ["31", "30", "29", "28"].iter().find_map(|day| {
        let candidate = match (is_end, start.len()) {
            (true, 4 | 7) => format!("{}{day}{}", full.get(..8)?, full.get(10..)?),
            _ => full.clone(),
        };
        crate::json::date_of(&candidate)
    })
}

/// Digits and separators where a date has them.
fn is_start_of_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.is_ascii()
        && bytes.len() >= 4
        && bytes.iter().take(4).all(u8::is_ascii_digit)
        && [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')]
            .iter()
            .all(|(at, mark)| bytes.get(*at).is_none_or(|byte| byte == mark))
        && matches!(bytes.len(), 4 | 7 | 10 | 13 | 16..)
}

fn split_zone(text: &str) -> (&str, &str) {
    match text.get(11..).and_then(|time| time.find(['+', '-'])) {
        Some(at) => text.split_at(11 + at),
        None => (text, "Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str, is_end: bool) -> Option<i64> {
        date_of(text, is_end).map(DateTime::into_timestamp_millis)
    }

    #[test]
    fn dates_may_be_shortened() {
        assert_eq!(ms("2024-02-03T04:05:06.789Z", false), Some(1_706_933_106_789));
        assert_eq!(ms("2024-02-03T04:05:06Z", true), Some(1_706_933_106_000));
        assert_eq!(ms("2024-02-03", false), Some(1_706_918_400_000));
        assert_eq!(ms("2024-02-03", true), Some(1_707_004_799_999));
        assert_eq!(ms("2024-02", true), Some(1_709_251_199_999));
        assert_eq!(ms("2024", false), Some(1_704_067_200_000));
        assert_eq!(ms("2024-02-03T04:05", false), Some(1_706_933_100_000));
        assert_eq!(ms("2024-02-03 04:05:06", false), Some(1_706_933_106_000));
        assert_eq!(ms("2024-02-03T04:05+01:00", false), Some(1_706_929_500_000));
        for text in ["", "12", "20240203", "2024-13-01", "2024-2-3", "yesterday", "2024-02-03x", "99999"] {
            assert_eq!(ms(text, false), None, "{text}");
        }
    }
}
