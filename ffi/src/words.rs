//! How text becomes words, and how whole strings become column values.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// A longer word is known by its beginning and a hash of the whole: such words are encoded bytes more often than
/// language, nearly all distinct, and at full length they would be most of the index and of the work of making it.
/// It is found whole, and by a prefix or pattern within its beginning.
const WORD_BYTES_MAX: usize = 64;
/// What is kept of a longer word's beginning; `#` and the hash's 16 digits follow.
const WORD_START_BYTES_MAX: usize = 44;
/// Longest string that is known as a whole, in bytes.
const KEYWORD_BYTES_MAX: usize = 256;
/// A string with more blanks is prose: nobody counts or compares it as a whole, and a column of it would hold the
/// payload a second time.
const KEYWORD_BLANKS_MAX: usize = 7;
/// Stands in the column for a string that is not known as a whole, so that it exists.
const PROSE_MARK: &str = "…";

/// Splits at what is neither letter nor digit and lower-cases; a CJK character is a word of its own.
#[derive(Clone, Default)]
pub struct WordTokenizer {
    token: Token,
}

pub struct WordStream<'a> {
    text: &'a str,
    position: usize,
    token: &'a mut Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream { text, position: 0, token: &mut self.token }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(start) = self.word_start() else {
            return false;
        };
        let end = self.word_end(start);
        self.position = end;
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = start;
        self.token.offset_to = end;
        self.token.text.clear();
        push_lower_case(&mut self.token.text, &self.text[start..end]);
        shorten(&mut self.token.text);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

impl WordStream<'_> {
    fn word_start(&self) -> Option<usize> {
        let rest = &self.text[self.position..];
        let ascii = rest.as_bytes().iter().take_while(|b| b.is_ascii() && !b.is_ascii_alphanumeric());
        let skipped = ascii.count();
        let offset = rest[skipped..].char_indices().find(|(_, c)| c.is_alphanumeric())?.0;
        Some(self.position + skipped + offset)
    }

    fn word_end(&self, start: usize) -> usize {
        let rest = &self.text.as_bytes()[start..];
        let ascii = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        // Most words end here; one that goes on in another script is walked by characters.
        if ascii == rest.len() || rest[ascii].is_ascii() {
            return start + ascii;
        }
        for (offset, character) in self.text[start..].char_indices() {
            let is_own_word = !character.is_ascii() && is_cjk(character);
            if is_own_word && offset == 0 {
                return start + character.len_utf8();
            }
            if is_own_word || !character.is_alphanumeric() {
                return start + offset;
            }
        }
        self.text.len()
    }
}

/// Replaces a long word by its beginning and its hash (FNV-1a, 64 bits).
fn shorten(word: &mut String) {
    if word.len() <= WORD_BYTES_MAX {
        return;
    }
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut end = WORD_START_BYTES_MAX;
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    word.truncate(end);
    word.push_str(&format!("#{hash:016x}"));
}

/// `text` in lower case.
fn push_lower_case(target: &mut String, text: &str) {
    if text.is_ascii() {
        target.push_str(text);
        target.make_ascii_lowercase();
    } else {
        target.extend(text.chars().flat_map(char::to_lowercase));
    }
}

/// Scripts that write without spaces between words: Han, kana.
fn is_cjk(character: char) -> bool {
    matches!(character as u32,
        0x3040..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0xff66..=0xff9d | 0x20000..=0x3ffff)
}

/// Whether a string is too long to be known as a whole.
pub fn is_prose(text: &str) -> bool {
    text.len() > KEYWORD_BYTES_MAX || text.bytes().filter(|byte| *byte == b' ').count() > KEYWORD_BLANKS_MAX
}

/// One token: the whole string, or the mark of prose.
#[derive(Clone, Default)]
pub struct KeywordTokenizer {
    token: Token,
}

pub struct KeywordStream<'a> {
    token: &'a mut Token,
    is_ahead: bool,
}

impl Tokenizer for KeywordTokenizer {
    type TokenStream<'a> = KeywordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> KeywordStream<'a> {
        self.token.reset();
        self.token.position = 0;
        self.token.text.push_str(if is_prose(text) { PROSE_MARK } else { text });
        self.token.offset_to = text.len();
        KeywordStream { token: &mut self.token, is_ahead: true }
    }
}

impl TokenStream for KeywordStream<'_> {
    fn advance(&mut self) -> bool {
        std::mem::take(&mut self.is_ahead)
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// The words of a query's text, as they are indexed.
pub fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    WordTokenizer::default().token_stream(text).process(&mut |token| words.push(token.text.clone()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        assert_eq!(words_of("  Order-17: ÜBER_größe, 3.14!"), ["order", "17", "über", "größe", "3", "14"]);
        assert_eq!(words_of("日本語abc 東京"), ["日", "本", "語", "abc", "東", "京"]);
        assert!(words_of("-- … !").is_empty());
        assert!(words_of("").is_empty());
    }

    #[test]
    fn long_words_are_known_by_beginning_and_hash() {
        let only = |text: String| {
            let words = words_of(&text);
            assert_eq!(words.len(), 1);
            words[0].clone()
        };
        assert_eq!(only("x".repeat(64)), "x".repeat(64));
        let long = only("X".repeat(65));
        assert!(long.starts_with(&format!("{}#", "x".repeat(44))) && long.len() == 61);
        assert_eq!(long, only("x".repeat(65)));
        assert_ne!(long, only("x".repeat(66)));
        assert_eq!(only("ä".repeat(300)).len(), 61);
    }

    #[test]
    fn prose_is_marked_and_other_strings_are_whole() {
        let keyword = |text: &str| {
            let mut tokenizer = KeywordTokenizer::default();
            let mut stream = tokenizer.token_stream(text);
            assert!(stream.advance());
            let text = stream.token().text.clone();
            assert!(!stream.advance());
            text
        };
        for whole in ["", "as it is", "a b c d e f g h", &"x".repeat(256)] {
            assert_eq!(keyword(whole), whole);
        }
        assert_eq!(keyword("a b c d e f g h i"), PROSE_MARK);
        assert_eq!(keyword(&"x".repeat(257)), PROSE_MARK);
    }
}
