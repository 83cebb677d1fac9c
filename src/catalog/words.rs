//! Titles are in Chinese, which has no blanks between its words. So every Chinese character is a token of its own, and
//! a word is a phrase of them: any part of a title is found, however a word segmenter would cut it.

/// What is looked for in a title: all of some words, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Vec<Vec<String>>);

impl Words {
    /// The words of `text`, which blanks separate. `None` when there is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<Vec<String>> =
            text.split_whitespace().map(tokens).filter(|word| !word.is_empty()).collect();
        (!words.is_empty()).then_some(Self(words))
    }

    /// Whether all of them stand in `title`. The last token of a word may go on there: `usb` finds `USB3`.
    #[must_use]
    pub fn are_in(&self, title: &str) -> bool {
        let title = tokens(title);
        let stands = |word: &Vec<String>| {
            title.windows(word.len()).any(|part| match (word.split_last(), part.split_last()) {
                (Some((end, front)), Some((title_end, title_front))) => {
                    front == title_front && title_end.starts_with(end.as_str())
                }
                _ => false,
            })
        };
        self.0.iter().all(stands)
    }

    /// As a query of SQLite's FTS5 over texts that [`indexed`] has prepared. Tokens are letters and digits only, so
    /// quotes hold them.
    pub(super) fn fts5(&self) -> String {
        let phrases: Vec<String> = self.0.iter().map(|word| format!("\"{}\"*", word.join(" "))).collect();
        phrases.join(" AND ")
    }

    /// As a query of PostgreSQL's text search over titles as [`tsvector`](Self::tsvector) gives them.
    #[cfg(feature = "postgres")]
    pub(crate) fn tsquery(&self) -> String {
        let phrase = |word: &Vec<String>| {
            let tokens: Vec<String> = word.iter().map(|token| format!("'{}'", lexeme(token))).collect();
            format!("({}:*)", tokens.join(" <-> "))
        };
        self.0.iter().map(phrase).collect::<Vec<_>>().join(" & ")
    }

    /// A title as PostgreSQL's text search takes it: its tokens and their places. Its own parser, which depends on the
    /// server's locale, has no part in it.
    #[cfg(feature = "postgres")]
    pub(crate) fn tsvector(title: &str) -> String {
        let tokens = tokens(title);
        let places = tokens.iter().zip(1..).map(|(token, place)| format!("'{}':{place}", lexeme(token)));
        places.collect::<Vec<_>>().join(" ")
    }
}

/// A token, cut to what PostgreSQL takes. Tokens are letters and digits only, so quotes hold them.
#[cfg(feature = "postgres")]
fn lexeme(token: &str) -> &str {
    /// Of 2,046 bytes.
    const MAX_BYTES: usize = 2_000;
    &token[..token.floor_char_boundary(MAX_BYTES)]
}

/// A title as the full-text index takes it: its tokens with blanks between them.
pub(super) fn indexed(title: &str) -> String {
    tokens(title).join(" ")
}

/// Runs of letters and digits in lower case; a Chinese, Japanese or Korean character stands alone. Full-width letters
/// and digits are as good as plain ones.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut is_open = false;
    for c in text.chars().map(plain) {
        if is_ideograph(c) {
            tokens.push(c.to_string());
            is_open = false;
        } else if c.is_alphanumeric() && is_kept_whole(c) {
            match tokens.last_mut().filter(|_| is_open) {
                Some(token) => token.extend(c.to_lowercase()),
                None => tokens.push(c.to_lowercase().collect()),
            }
            is_open = true;
        } else {
            is_open = false;
        }
    }
    tokens
}

/// SQLite's tokenizer keeps letters and digits together as we do, but knows an older Unicode; beyond the scripts that
/// both know, a character separates.
fn is_kept_whole(c: char) -> bool {
    let lower: String = c.to_lowercase().collect();
    lower.chars().all(|c| {
        c.is_ascii() || matches!(c, '\u{C0}'..='\u{24F}' | '\u{391}'..='\u{3C9}' | '\u{410}'..='\u{44F}')
    })
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' | '\u{3400}'..='\u{4DB5}' | '\u{4E00}'..='\u{9FA5}'
        | '\u{AC00}'..='\u{D7A3}')
}

/// The plain form of a full-width character.
fn plain(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(words: &str, title: &str) -> bool {
        Words::parse(words).expect("words").are_in(title)
    }

    #[test]
    fn any_part_of_a_chinese_title_is_found_whoever_cuts_it_into_words() {
        let title = "新款ins风陶瓷马克杯 大容量500ML（带盖）ＵＳＢ加热";
        for words in [
            "马克杯",
            "克杯",
            "陶瓷",
            "瓷马",
            "马克杯 陶瓷",
            "500ml",
            "500",
            "INS",
            "带盖",
            "usb加热",
            "ＵＳＢ",
        ] {
            assert!(found(words, title), "{words}");
        }
        for words in ["玻璃杯", "杯马", "马克杯 玻璃", "00ml", "ns风", "加热usb"] {
            assert!(!found(words, title), "{words}");
        }
    }

    proptest! {
        #[test]
        fn the_full_text_index_finds_what_is_in_the_title_and_nothing_else(
            title in "[马克杯陶瓷ab1 ÀÉжЖ（）!Ａ９-]{0,12}", words in "[马克杯陶瓷ab1 ÀéжЖ)!a９-]{1,4}",
        ) {
            let Some(words) = Words::parse(&words) else { return Ok(()) };
            let c = rusqlite::Connection::open_in_memory().expect("memory");
            c.execute_batch(
                "CREATE VIRTUAL TABLE t USING fts5 (title, tokenize = 'unicode61 remove_diacritics 0')",
            ).expect("fts5");
            c.execute("INSERT INTO t VALUES (?1)", [indexed(&title)]).expect("a row");
            let hits: u32 = c
                .query_row("SELECT count(*) FROM t WHERE t MATCH ?1", [words.fts5()], |row| row.get(0))
                .expect("a query that SQLite understands");
            prop_assert_eq!(hits == 1, words.are_in(&title), "{:?} {}", words, indexed(&title));
        }
    }

    #[test]
    fn signs_alone_are_no_words() {
        for nothing in ["", "  ", "!!! ---", "（）"] {
            assert_eq!(Words::parse(nothing), None, "{nothing}");
        }
    }
}
