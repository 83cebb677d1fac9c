//! Which characters are these bytes? UTF-8, UTF-16, GB18030 (so GBK and GB2312, too) and Big5 become UTF-8, in pieces of
//! bounded size.

use std::fmt;
use std::io::{self, BufRead, Read};

use encoding_rs::{BIG5, Decoder, DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

/// Stands in the decoded text for bytes that are no characters. Unicode promises that no text holds it, so a row with
/// it was damaged here and not at its source, where U+FFFD may stand.
pub(super) const DAMAGE: char = '\u{FDD0}';

/// How much of a file's beginning is looked at before anything is decided, in bytes.
pub(super) const HEAD_BYTES: usize = 8 << 10;

/// Bytes read at a time.
const PIECE_BYTES: usize = 16 << 10;

/// How a text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextEncoding {
    /// Also plain ASCII.
    Utf8,
    /// With a byte order mark, or by its zeros.
    Utf16Le,
    /// With a byte order mark, or by its zeros.
    Utf16Be,
    /// Also GBK and GB2312, which it contains.
    Gb18030,
    /// Traditional Chinese, as programs in Taiwan and Hong Kong write it.
    Big5,
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16 (little-endian)",
            Self::Utf16Be => "UTF-16 (big-endian)",
            Self::Gb18030 => "GB18030 (GBK)",
            Self::Big5 => "Big5",
        })
    }
}

/// What a file's beginning says of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// `None` where the first character that is not ASCII will tell between UTF-8, GB18030 and Big5.
    pub(super) encoding: Option<TextEncoding>,
    /// Bytes of the byte order mark.
    pub(super) mark_bytes: usize,
    /// Whether entries end with NUL: lists as `find -print0` writes them.
    pub(super) is_nul_separated: bool,
}

/// Decides by the first bytes of a file, at the most [`HEAD_BYTES`] of them. `None` for what is no text.
pub(super) fn start_of(head: &[u8]) -> Option<Start> {
    let marked =
        |encoding, mark_bytes| Start { encoding: Some(encoding), mark_bytes, is_nul_separated: false };
    let start = match head {
        [0xEF, 0xBB, 0xBF, ..] => marked(TextEncoding::Utf8, 3),
        // UTF-32: nothing that people have.
        [0xFF, 0xFE, 0, 0, ..] => return None,
        [0xFF, 0xFE, ..] => marked(TextEncoding::Utf16Le, 2),
        [0xFE, 0xFF, ..] => marked(TextEncoding::Utf16Be, 2),
        _ if head.contains(&0) => unmarked_with_zeros(head)?,
        _ => Start { encoding: None, mark_bytes: 0, is_nul_separated: false },
    };
    if start.is_nul_separated {
        // Its entries were looked at one by one: an odd one is told of in its place.
        return Some(start);
    }
    let mut text = String::new();
    let mut reader = TextReader::new(head, start, u64::MAX);
    // Reading from memory does not fail; characters that the window has cut are no matter.
    let _ = reader.read_to_string(&mut text);
    let (mut odd, mut all) = (0_usize, 0_usize);
    for c in text.chars() {
        all += 1;
        let is_layout = matches!(c, '\t' | '\n' | '\r' | '\u{c}');
        // Later control characters, and the escape of terminals, do stand in titles that people have.
        odd += usize::from(c == DAMAGE || c < ' ' && c != '\u{1b}' && !is_layout);
    }
    // One cut character at the end, one damaged line among many: still text.
    (odd <= 1 + all / 50).then_some(start)
}

/// A text with zero bytes and without a mark is UTF-16, or a list whose entries end with them.
fn unmarked_with_zeros(head: &[u8]) -> Option<Start> {
    let entries = || head.split(|&byte| byte == 0).filter(|entry| !entry.is_empty());
    let is_path = |entry: &[u8]| {
        entry.iter().all(|&byte| byte >= b' ') && (is_utf8(entry) || damage_as(GB18030, entry) == 0)
    };
    // UTF-16 of ASCII leaves single bytes between the zeros, and has line ends.
    let (count, singles) = (entries().count(), entries().filter(|entry| entry.len() == 1).count());
    // A name may hold a line end, or bytes that are no characters: that is what such lists are written for. One zero ends each.
    let are_names = || {
        entries().filter(|entry| is_surely_name(entry)).count() * 3 > count * 2
            && !head.windows(2).any(|pair| pair == [0, 0])
    };
    if count > 0 && singles * 5 < count && (entries().all(is_path) || are_names()) {
        return Some(Start { encoding: None, mark_bytes: 0, is_nul_separated: true });
    }
    let zeros = |parity: usize| head.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let encoding = match () {
        () if odd > 2 * even => TextEncoding::Utf16Le,
        () if even > 2 * odd => TextEncoding::Utf16Be,
        () => return None,
    };
    Some(Start { encoding: Some(encoding), mark_bytes: 0, is_nul_separated: false })
}

/// Whether these bytes are what UTF-16 hardly ever has between two zeros: an ending as files have, or several characters of
/// UTF-8 and no line end.
fn is_surely_name(entry: &[u8]) -> bool {
    let ending = entry.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let has_ending = ending.len() < entry.len()
        && matches!(ending.len(), 2..=5)
        && ending.iter().all(u8::is_ascii_alphanumeric);
    let is_plain = || entry.iter().all(|&byte| byte >= b' ') && std::str::from_utf8(entry).is_ok();
    has_ending || entry.len() > 1 && is_plain()
}

fn is_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|_| true)
        || std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// How many places of `bytes` are not in `encoding`.
fn damage_as(encoding: &'static Encoding, bytes: &[u8]) -> usize {
    let mut text = String::with_capacity(bytes.len() * 3 + 16);
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (mut at, mut damage) = (0, 0);
    loop {
        let (result, read) = decoder.decode_to_string_without_replacement(&bytes[at..], &mut text, false);
        at += read;
        match result {
            DecoderResult::InputEmpty => return damage,
            DecoderResult::Malformed(..) => damage += 1,
            DecoderResult::OutputFull => text.reserve(bytes.len() + 16),
        }
    }
}

/// 图片, the usual header, which happens to be UTF-8 for two other letters.
const PICTURE_IN_GBK: &[u8] = b"\xCD\xBC\xC6\xAC";

/// Whether `bytes` are Big5 rather than GB18030; nearly all texts can be read as either. Both write a character as two
/// bytes. Simplified Chinese in GB18030 has hardly ever an ASCII byte for the second one, nor A4 to A9 (kana, Greek, Cyrillic)
/// for the first; Big5 has one of both in more than half of its characters. And the common characters of Big5 begin with A1
/// to C9, which only half of those of GB18030 do.
fn is_big5(bytes: &[u8]) -> bool {
    let (mut all, mut in_big5, mut odd_in_gb18030) = (0_usize, 0_usize, 0_usize);
    let mut rest = bytes;
    while let [lead, tail @ ..] = rest {
        if lead.is_ascii() {
            rest = tail;
            continue;
        }
        let Some(second) = tail.first() else { break };
        all += 1;
        in_big5 += usize::from((0xA1..=0xC9).contains(lead) && matches!(second, 0x40..=0x7E | 0xA1..=0xFE));
        odd_in_gb18030 += usize::from(second.is_ascii() || (0xA4..=0xA9).contains(lead));
        rest = &tail[1..];
    }
    all >= 3 && in_big5 * 20 >= all * 19 && odd_in_gb18030 * 7 >= all && damage_as(BIG5, bytes) == 0
}

/// Which of the three `bytes` are, the first of which is not ASCII.
fn encoding_of(bytes: &[u8]) -> TextEncoding {
    let (mut good, mut bad) = (0_usize, 0_usize);
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        // Chinese has three bytes in UTF-8; pairs of bytes are what GB18030 looks like by chance.
        good += chunk.valid().chars().filter(|c| c.len_utf8() > 2).count();
        let is_cut = chunks.peek().is_none() && is_utf8(chunk.invalid());
        bad += usize::from(!chunk.invalid().is_empty() && !is_cut);
    }
    // A file with one broken character keeps the others.
    let is_gbk_header = good == 0 && bytes.windows(PICTURE_IN_GBK.len()).any(|part| part == PICTURE_IN_GBK);
    if bad == 0 && !is_gbk_header || good > 4 * bad {
        return TextEncoding::Utf8;
    }
    if is_big5(bytes) {
        return TextEncoding::Big5;
    }
    let damage = damage_as(GB18030, bytes);
    if damage * 20 <= bytes.len() { TextEncoding::Gb18030 } else { TextEncoding::Utf8 }
}

/// Decodes while it is read. Line ends of every kind come out as `\n`, unless the text is separated by NULs.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a state of its own: input ended, text ended, line ends"
)]
pub(super) struct TextReader<R> {
    inner: R,
    /// Bytes that are not decoded yet.
    raw: Vec<u8>,
    is_ended: bool,
    is_flushed: bool,
    rest_bytes: u64,
    encoding: Option<TextEncoding>,
    decoder: Option<Decoder>,
    skip_bytes: usize,
    keeps_returns: bool,
    after_return: bool,
    text: Vec<u8>,
    at: usize,
}

impl<R> fmt::Debug for TextReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextReader").field("encoding", &self.encoding).finish_non_exhaustive()
    }
}

impl<R: Read> TextReader<R> {
    /// `inner` begins with the mark that `start` speaks of. More than `max_bytes` is an error of the kind
    /// [`io::ErrorKind::FileTooLarge`].
    pub(super) fn new(inner: R, start: Start, max_bytes: u64) -> Self {
        let mut reader = Self {
            inner,
            raw: Vec::new(),
            is_ended: false,
            is_flushed: false,
            rest_bytes: max_bytes,
            encoding: None,
            decoder: None,
            skip_bytes: start.mark_bytes,
            keeps_returns: start.is_nul_separated,
            after_return: false,
            text: Vec::new(),
            at: 0,
        };
        if let Some(encoding) = start.encoding {
            reader.decide(encoding);
        }
        reader
    }

    /// `None` as long as everything was ASCII.
    pub(super) fn encoding(&self) -> Option<TextEncoding> {
        self.encoding
    }

    fn decide(&mut self, encoding: TextEncoding) {
        self.encoding = Some(encoding);
        self.decoder = Some(match encoding {
            TextEncoding::Utf8 => UTF_8.new_decoder_without_bom_handling(),
            TextEncoding::Utf16Le => UTF_16LE.new_decoder_without_bom_handling(),
            TextEncoding::Utf16Be => UTF_16BE.new_decoder_without_bom_handling(),
            TextEncoding::Gb18030 => GB18030.new_decoder_without_bom_handling(),
            TextEncoding::Big5 => BIG5.new_decoder_without_bom_handling(),
        });
    }

    fn read_piece(&mut self) -> io::Result<()> {
        let start = self.raw.len();
        self.raw.resize(start + PIECE_BYTES, 0);
        let read = loop {
            match self.inner.read(&mut self.raw[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.raw.truncate(start + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.is_ended = read == 0;
        self.rest_bytes = self
            .rest_bytes
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let skipped = self.skip_bytes.min(self.raw.len());
        self.raw.drain(..skipped);
        self.skip_bytes -= skipped;
        Ok(())
    }

    /// Makes `text` hold something, unless the end is reached.
    fn fill(&mut self) -> io::Result<()> {
        while self.at == self.text.len() && !self.is_flushed {
            self.text.clear();
            self.at = 0;
            if !self.is_ended {
                self.read_piece()?;
            }
            if self.decoder.is_none() {
                self.take_ascii()?;
            }
            if self.decoder.is_some() {
                self.decode();
            }
            self.is_flushed = self.is_ended && self.raw.is_empty();
        }
        Ok(())
    }

    /// Takes what is ASCII over as it is; at the first byte that is not, an encoding is decided for.
    fn take_ascii(&mut self) -> io::Result<()> {
        let ascii = self.raw.iter().position(|byte| !byte.is_ascii()).unwrap_or(self.raw.len());
        if ascii < self.raw.len() {
            // As much as there is by now, but no single character; who has written a line may wait for an answer.
            while self.raw.len() - ascii < 64 && self.raw.last() != Some(&b'\n') && !self.is_ended {
                self.read_piece()?;
            }
            self.decide(encoding_of(&self.raw[ascii..]));
        }
        let taken: Vec<u8> = self.raw.drain(..ascii).collect();
        self.append(&taken);
        Ok(())
    }

    fn decode(&mut self) {
        let Some(mut decoder) = self.decoder.take() else { return };
        let raw = std::mem::take(&mut self.raw);
        let mut decoded = String::with_capacity(raw.len() * 3 + 16);
        let mut at = 0;
        loop {
            let (result, read) =
                decoder.decode_to_string_without_replacement(&raw[at..], &mut decoded, self.is_ended);
            at += read;
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => decoded.reserve(raw.len() + 64),
                DecoderResult::Malformed(..) => {
                    if decoded.capacity() - decoded.len() < DAMAGE.len_utf8() {
                        decoded.reserve(raw.len() + 64);
                    }
                    decoded.push(DAMAGE);
                }
            }
        }
        self.append(decoded.as_bytes());
        // A decoder that was told of the end must not be used again.
        self.decoder = (!self.is_ended).then_some(decoder);
        if self.is_ended {
            self.is_flushed = true;
        }
    }

    fn append(&mut self, decoded: &[u8]) {
        if self.keeps_returns {
            self.text.extend_from_slice(decoded);
            return;
        }
        for &byte in decoded {
            match byte {
                b'\r' => self.text.push(b'\n'),
                b'\n' if self.after_return => {}
                _ => self.text.push(byte),
            }
            self.after_return = byte == b'\r';
        }
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let text = self.fill_buf()?;
        let read = text.len().min(buffer.len());
        buffer[..read].copy_from_slice(&text[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for TextReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, read: usize) {
        self.at = (self.at + read).min(self.text.len());
    }
}

/// Lines of a bounded length.
#[derive(Debug)]
pub(super) struct Lines<R> {
    pub(super) reader: R,
    /// `\n` or NUL.
    pub(super) end: u8,
    /// From 1; 0 before the first.
    pub(super) number: u64,
}

/// A line, or as much of it as there may be.
#[derive(Debug)]
pub(super) enum TextLine {
    Whole(String),
    /// The rest of it was passed over.
    TooLong,
}

/// How far the end of a line that is too long is looked for, in bytes: a file of nothing else has none.
const MAX_SKIPPED_BYTES: usize = 64 << 20;

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, end: u8) -> Self {
        Self { reader, end, number: 0 }
    }

    /// The next line without its end; `None` after the last. A line that never ends is an error of the kind
    /// [`io::ErrorKind::InvalidData`].
    pub(super) fn next(&mut self, max_bytes: usize) -> io::Result<Option<TextLine>> {
        let (mut line, mut skipped) = (Vec::new(), 0_usize);
        self.number += 1;
        loop {
            let text = self.reader.fill_buf()?;
            let end = text.iter().position(|&byte| byte == self.end);
            let part = end.unwrap_or(text.len());
            let is_last = text.is_empty();
            if skipped == 0 && line.len() + part <= max_bytes {
                line.extend_from_slice(&text[..part]);
            } else {
                skipped += part;
            }
            let consumed = part + usize::from(end.is_some());
            self.reader.consume(consumed);
            if skipped > MAX_SKIPPED_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if is_last && line.is_empty() && skipped == 0 {
                return Ok(None);
            }
            if is_last || end.is_some() {
                // The reader gives UTF-8.
                let line = String::from_utf8(line)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
                return Ok(Some(if skipped > 0 { TextLine::TooLong } else { TextLine::Whole(line) }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> (String, Option<TextEncoding>) {
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let mut reader = TextReader::new(bytes, start_of(head).expect("text"), u64::MAX);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("UTF-8");
        (text, reader.encoding())
    }

    fn utf16(text: &str, is_little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|u| if is_little { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
    }

    const GOODS: &str = "图片,编号,标题\na.jpg,蓝色-01,一个马克杯\nb.jpg,红色-02,双肩包\n";

    #[test]
    fn every_usual_encoding_gives_the_same_text() {
        let (gbk, ..) = GB18030.encode(GOODS);
        let mark = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
        for (bytes, encoding) in [
            (GOODS.as_bytes().to_vec(), TextEncoding::Utf8),
            (mark(b"\xEF\xBB\xBF", GOODS.into()), TextEncoding::Utf8),
            (mark(b"\xFF\xFE", utf16(GOODS, true)), TextEncoding::Utf16Le),
            (mark(b"\xFE\xFF", utf16(GOODS, false)), TextEncoding::Utf16Be),
            (utf16(GOODS, true), TextEncoding::Utf16Le),
            (utf16(GOODS, false), TextEncoding::Utf16Be),
            (gbk.into_owned(), TextEncoding::Gb18030),
        ] {
            assert_eq!(read(&bytes), (GOODS.to_owned(), Some(encoding)));
        }
    }

    #[test]
    fn traditional_chinese_in_big5_is_not_read_as_gb18030() {
        for text in [
            "圖片,編號,標題\na.jpg,藍色-01,純棉短袖上衣\n",
            "path,id,title\na.jpg,A-1,紅色馬克杯\nb.jpg,A-2,雙肩背包 大容量\n",
            "a.jpg\n圖片/手機殼.jpg\n",
        ] {
            let (bytes, ..) = BIG5.encode(text);
            assert_eq!(read(&bytes), (text.to_owned(), Some(TextEncoding::Big5)), "{text}");
            // The same text in GBK, which has these characters, too.
            let (bytes, ..) = GB18030.encode(text);
            assert_eq!(read(&bytes), (text.to_owned(), Some(TextEncoding::Gb18030)), "{text}");
        }
    }

    #[test]
    fn every_kind_of_line_end_is_one() {
        assert_eq!(read(b"a\r\nb\rc\nd\r\r\ne").0, "a\nb\nc\nd\n\ne");
    }

    #[test]
    fn an_encoding_that_shows_late_is_recognised_all_the_same() {
        let rows = "a.jpg,A-1,mug\n".repeat(5000);
        let (late, ..) = GB18030.encode("b.jpg,B-1,红色纯棉短袖\n");
        let (text, encoding) = read(&[rows.as_bytes(), &late].concat());
        assert!(text.ends_with("b.jpg,B-1,红色纯棉短袖\n"));
        assert_eq!(encoding, Some(TextEncoding::Gb18030));
    }

    #[test]
    fn a_gbk_header_that_happens_to_be_utf8_is_read_as_gbk() {
        let (bytes, ..) = GB18030.encode("图片,id\na.jpg,A\n");
        assert!(std::str::from_utf8(&bytes).is_ok());
        assert_eq!(read(&bytes).0, "图片,id\na.jpg,A\n");
        assert_eq!(read("café,é\n".as_bytes()).0, "café,é\n");
    }

    #[test]
    fn one_broken_character_does_not_make_utf8_something_else() {
        let bytes = [GOODS.as_bytes(), b"c.jpg,C-\xE7\xBA,x\n"].concat();
        let (text, encoding) = read(&bytes);
        assert_eq!(encoding, Some(TextEncoding::Utf8));
        assert!(text.starts_with(GOODS) && text.contains(DAMAGE), "{text}");
    }

    #[test]
    fn what_is_no_text_is_not_read_as_one() {
        let noise: Vec<u8> = (0..4096_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        assert_eq!(start_of(&noise), None);
        assert_eq!(start_of(&[0; 4096]), None);
        assert_eq!(start_of(b"\xFF\xFE\0\0a\0\0\0"), None);
        assert!(start_of(b"a.jpg\0b.jpg\0").is_some_and(|start| start.is_nul_separated));
    }

    #[test]
    fn odd_names_among_others_that_end_with_nul_make_them_no_other_text() {
        let (gbk, ..) = GB18030.encode("红色马克杯.jpg\0双肩包.png\0");
        for names in [
            b"a.jpg\0caf\xE9.jpg\0b.jpg\0".to_vec(),
            b"caf\xE9.jpg\0".to_vec(),
            b"a.jpg\0two\nlines.jpg\0with\x01control\0shop/mug\0".to_vec(),
            "图片/马克杯.jpg\0two\nlines.jpg\0".into(),
            [&gbk[..], b"two\nlines.jpg\0"].concat(),
            [&b"pictures/1\0".repeat(50)[..], b"\xFF\xFF\xFF\0"].concat(),
        ] {
            assert!(start_of(&names).is_some_and(|start| start.is_nul_separated), "{}", names.escape_ascii());
        }
        let utf16 = [utf16("图片 马克杯，红色\n双肩包 大容量，蓝色\n", true), utf16(GOODS, false)];
        for text in &utf16 {
            assert!(start_of(text).is_none_or(|start| !start.is_nul_separated), "{}", text.escape_ascii());
        }
        let mut packed = b"a.jpg\0\0\0\0".repeat(20);
        packed.extend([7, 0, 1, 0, 2]);
        assert!(start_of(&packed).is_none_or(|start| !start.is_nul_separated));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_one_without_end_is_an_error() {
        let text = format!("{}\nshort\n", "x".repeat(100));
        let mut lines = Lines::new(text.as_bytes(), b'\n');
        assert!(matches!(lines.next(50).unwrap(), Some(TextLine::TooLong)));
        assert!(matches!(lines.next(50).unwrap(), Some(TextLine::Whole(line)) if line == "short"));
        assert!(lines.next(50).unwrap().is_none());
        let mut endless = Lines::new(io::BufReader::new(io::repeat(b'x')), b'\n');
        assert_eq!(endless.next(50).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn more_than_the_bound_is_an_error() {
        let start = start_of(b"a\n").unwrap();
        let mut text = String::new();
        let error = TextReader::new(io::repeat(b'\n'), start, 100_000).read_to_string(&mut text).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    proptest! {
        #[test]
        fn text_survives_utf16_and_utf8(text in "[ -~\u{4E00}-\u{9FA5}\n]{0,200}") {
            prop_assert_eq!(&read(&[b"\xEF\xBB\xBF", text.as_bytes()].concat()).0, &text);
            prop_assert_eq!(&read(&[b"\xFF\xFE".to_vec(), utf16(&text, true)].concat()).0, &text);
        }

        #[test]
        fn no_bytes_make_it_panic_or_give_less_than_text(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let start = Start { encoding: None, mark_bytes: 0, is_nul_separated: false };
            let mut text = String::new();
            prop_assert!(TextReader::new(&bytes[..], start, u64::MAX).read_to_string(&mut text).is_ok());
            let _ = start_of(&bytes);
        }
    }
}
