//! The one schema of every index. A frozen index of another schema is refused, and rebuilt by its owner.

use crate::words::{KeywordTokenizer, WordTokenizer};
use std::sync::LazyLock;
use tantivy::schema::{
    DateOptions, DateTimePrecision, FAST, Field, INDEXED, IndexRecordOption, JsonObjectOptions, Schema,
    SchemaBuilder, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};

pub const TOPIC_ID: &str = "_topic_id";
pub const TOPIC: &str = "_topic";
pub const PARTITION: &str = "_partition";
pub const OFFSET: &str = "_offset";
pub const TIMESTAMP: &str = "_timestamp";
pub const JSON: &str = "_json";

pub const NO_KEY: &str = "no_key";
pub const NO_VALUE: &str = "no_value";
pub const HAS_HEADERS: &str = "headers";

/// An analyzer that changes gets a new name, which makes it another schema.
const WORDS: &str = "chronik_words_1";
const KEYWORD: &str = "chronik_keyword_2";
const RAW: &str = "raw";

/// Longest key that is known as a whole, in bytes; a longer one is found by its words only.
pub const EXACT_KEY_BYTES_MAX: usize = 1024;

pub struct Fields {
    pub schema: Schema,
    pub topic_id: Field,
    pub topic: Field,
    pub partition: Field,
    pub offset: Field,
    pub timestamp: Field,
    /// Words of the key.
    pub key: Field,
    /// The whole key.
    pub key_exact: Field,
    pub value: Field,
    pub headers: Field,
    /// What is unusual about a record: [`NO_KEY`], [`NO_VALUE`], [`HAS_HEADERS`].
    pub marks: Field,
    /// The leaves of JSON values by path, as columns. Numbers and dates are found here alone: nearly each would
    /// be a word of its own, and the column is smaller and cheaper to write.
    pub json: Field,
    /// The words of strings and the booleans of JSON values, by path.
    pub json_words: Field,
}

pub static FIELDS: LazyLock<Fields> = LazyLock::new(Fields::build);

impl Fields {
    fn build() -> Fields {
        let mut builder = SchemaBuilder::default();
        let date = DateOptions::default().set_precision(DateTimePrecision::Milliseconds).set_fast();
        let json = JsonObjectOptions::default().set_fast(KEYWORD).set_expand_dots_enabled();
        let json_words =
            JsonObjectOptions::default().set_indexing_options(word_indexing()).set_expand_dots_enabled();
        let words = || TextOptions::default().set_indexing_options(word_indexing());
        // The offset and the time of nearly every record are its own: no inverted lists for them.
        let topic_id = builder.add_text_field(TOPIC_ID, exact().set_fast(RAW));
        let topic = builder.add_text_field(TOPIC, exact().set_fast(RAW));
        let partition = builder.add_u64_field(PARTITION, INDEXED | FAST);
        let offset = builder.add_u64_field(OFFSET, FAST);
        let timestamp = builder.add_date_field(TIMESTAMP, date);
        let key = builder.add_text_field("_key", words());
        let key_exact = builder.add_text_field("_key_exact", exact());
        let value = builder.add_text_field("_value", words());
        let headers = builder.add_text_field("_headers", words());
        let marks = builder.add_text_field("_marks", exact());
        let json = builder.add_json_field(JSON, json);
        let json_words = builder.add_json_field("_json_words", json_words);
        let schema = builder.build();
        Fields {
            schema,
            topic_id,
            topic,
            partition,
            offset,
            timestamp,
            key,
            key_exact,
            value,
            headers,
            marks,
            json,
            json_words,
        }
    }
}

/// The analyzers that the schema names.
pub fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(WORDS, TextAnalyzer::from(WordTokenizer::default()));
    manager.register(KEYWORD, TextAnalyzer::from(KeywordTokenizer::default()));
    manager
}

fn word_indexing() -> TextFieldIndexing {
    TextFieldIndexing::default()
        .set_tokenizer(WORDS)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions)
}

fn exact() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(RAW)
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing)
}
