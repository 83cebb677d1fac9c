//! What does this price say? Prices as people and their programs write them, in yuan.

use crate::offer::{Price, PriceError};

/// What stands where there is no price.
const NONE: [&str; 12] = ["-", "--", "—", "/", "n/a", "na", "nan", "null", "none", "无", "暂无", "面议"];
/// Yuan, before or behind the number.
const YUAN: [&str; 9] = ["cn¥", "¥", "￥", "cny", "rmb", "yuan", "人民币", "元", "块"];

/// Why a text is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum PriceProblem {
    #[error("{0:?} is a range: give one price, such as 59.00")]
    Range(String),
    #[error("{0:?} is not in yuan: convert it, and write a number such as 59.00")]
    Currency(String),
    #[error("{0:?} is no price: write a number of yuan such as 59.00, or leave it empty")]
    Number(String),
    #[error(transparent)]
    Price(#[from] PriceError),
}

/// The price that `text` states: `59.00`, `¥59`, `59元/件`, `1,299.00`, `1.299,00`, `59,00`, `59.00 CNY`; `None` where
/// it states that there is none. A comma before three digits separates thousands, any other one the fraction.
///
/// # Errors
/// [`PriceProblem`] for all else; nothing is guessed.
pub fn parse_price(text: &str) -> Result<Option<Price>, PriceProblem> {
    let plain: String = text.chars().map(narrow).collect::<String>().to_lowercase();
    let plain = plain.trim();
    if plain.is_empty() || NONE.contains(&plain) {
        return Ok(None);
    }
    let shown = || text.trim().chars().take(80).collect::<String>();
    let number = without_currency(plain);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return Err(PriceProblem::Number(shown()));
    }
    if number.contains(['$', '€', '£', '₩', '₽'])
        || number.chars().any(|c| c.is_ascii_alphabetic() && c != 'e')
    {
        return Err(PriceProblem::Currency(shown()));
    }
    let is_range = |between: char| matches!(between, '-' | '~' | '–' | '—' | '至' | '到');
    if number.split(is_range).filter(|part| part.contains(|c: char| c.is_ascii_digit())).count() > 1 {
        return Err(PriceProblem::Range(shown()));
    }
    let digits = decimal(number).ok_or_else(|| PriceProblem::Number(shown()))?;
    Ok(Some(digits.parse()?))
}

/// The narrow form of a wide digit or sign; every kind of space as a plain one.
fn narrow(c: char) -> char {
    match c {
        '\u{A0}' | '\u{2007}' | '\u{2009}' | '\u{202F}' | '\u{3000}' => ' ',
        // Full-width forms lie at a fixed distance; the yuan sign has a place of its own.
        '！'..='～' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '−' => '-',
        _ => c,
    }
}

fn without_currency(text: &str) -> &str {
    let mut rest = text;
    for sign in YUAN {
        rest = rest.strip_prefix(sign).unwrap_or(rest).trim_start();
    }
    // A unit stands behind the price: 59元/件.
    if let Some((price, unit)) = rest.split_once('/')
        && !unit.contains(|c: char| c.is_ascii_digit())
    {
        rest = price.trim_end();
    }
    for sign in YUAN {
        rest = rest.strip_suffix(sign).unwrap_or(rest).trim_end();
    }
    rest
}

/// `1,299.00` and its kind as digits with a point.
fn decimal(text: &str) -> Option<String> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\'');
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    if !text.chars().all(is_number) || !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let (whole, fraction) = match (text.rfind('.'), text.rfind(',')) {
        (Some(point), Some(comma)) if comma > point => (&text[..comma], &text[comma + 1..]),
        (Some(point), _) => (&text[..point], &text[point + 1..]),
        (None, Some(comma)) if !groups(text) || text.starts_with("0,") => {
            (&text[..comma], &text[comma + 1..])
        }
        (None, _) => (text, ""),
    };
    let is_whole = whole.chars().all(|c| c.is_ascii_digit()) || groups(whole);
    if !is_whole || !fraction.chars().all(|c| c.is_ascii_digit()) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    let whole = if whole.is_empty() { "0" } else { &whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Whether these are digits in groups of three, all separated by the same sign.
fn groups(text: &str) -> bool {
    let Some(sign) = text.chars().find(|c| !c.is_ascii_digit()) else { return true };
    let mut parts = text.split(sign);
    let is_digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let first = parts.next().is_some_and(|part| (1..=3).contains(&part.len()) && is_digits(part));
    first && parts.all(|part| part.len() == 3 && is_digits(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_read_as_people_write_them() {
        for (text, price) in [
            ("59.00", "59.00"),
            ("¥59.00", "59.00"),
            ("￥59", "59"),
            ("59元", "59"),
            ("59.5元/件", "59.5"),
            ("59,00", "59.00"),
            ("59,9", "59.9"),
            ("1,299.00", "1299.00"),
            ("1,299", "1299"),
            ("12,345,678.9", "12345678.9"),
            ("1.299,00", "1299.00"),
            ("1 299.00", "1299.00"),
            (" 59.00 ", "59.00"),
            ("59.00 CNY", "59.00"),
            ("RMB 59", "59"),
            ("CN¥59", "59"),
            ("人民币59元", "59"),
            ("５９．００", "59.00"),
            ("￥\u{A0}59.00", "59.00"),
            ("0,125", "0.125"),
            (".5", "0.5"),
            ("0", "0"),
        ] {
            assert_eq!(
                parse_price(text).map(|p| p.map(|p| p.to_string())),
                Ok(Some(price.to_owned())),
                "{text}"
            );
        }
        for none in ["", "  ", "-", "N/A", "null", "面议", "暂无"] {
            assert_eq!(parse_price(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn what_is_no_single_price_in_yuan_is_refused_by_name() {
        for range in ["59.00-89.00", "59~89", "¥59.00-¥89.00", "59元至89元", "59.00 - 89.00"] {
            assert!(matches!(parse_price(range), Err(PriceProblem::Range(_))), "{range}");
        }
        for foreign in ["$59", "US$59.00", "59 EUR", "€5", "59.00 usd"] {
            assert!(matches!(parse_price(foreign), Err(PriceProblem::Currency(_))), "{foreign}");
        }
        for nonsense in ["1,29,900", "5.9.0", "约59", "red", "1,2345.00", ",", "."] {
            assert!(matches!(parse_price(nonsense), Err(PriceProblem::Number(_))), "{nonsense}");
        }
        assert!(matches!(parse_price("-5"), Err(PriceProblem::Price(_))));
    }

    proptest! {
        #[test]
        fn thousands_change_no_price(whole in 0_u64..1_000_000_000, cents in 0_u32..100) {
            let plain = format!("{whole}.{cents:02}");
            let digits = whole.to_string();
            let grouped: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap()).collect();
            let want = parse_price(&plain).unwrap();
            prop_assert!(want.is_some());
            prop_assert_eq!(parse_price(&format!("¥{}.{cents:02}", grouped.join(","))).unwrap(), want);
            prop_assert_eq!(parse_price(&format!("{},{cents:02} 元", grouped.join("."))).unwrap(), want);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|[0-9.,¥ -]{0,12}") {
            let _ = parse_price(&text);
        }
    }
}
