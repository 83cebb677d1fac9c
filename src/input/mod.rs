//! What has the user given? Folders, lists, tables, archives and single pictures, as goods one after another.
//!
//! Nothing is held that a row does not need: rows are read as they are asked for. Nothing is printed here, either; what
//! was passed over or ignored stands in [`Input::report`] once the rows are read.

mod archive;
mod fields;
mod folder;
mod good;
mod magic;
mod names;
#[cfg(feature = "parquet")]
mod parquet;
mod price;
mod problems;
mod records;
mod rows;
mod samples;
mod sniff;
mod source;
mod table;
mod text;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::vec;

pub use archive::Member;
pub use folder::{Folder, FolderPicture, Skipped, missed_pictures, passed_archives, skipped_text};
pub use good::{Row, Wanted};
pub use price::{PriceProblem, parse_price};
pub use problems::{FileProblem, InputError, ReadProblem, RowProblem, SourceProblem};
pub use records::{Records, TABLE_PICTURE_NAMES};
pub use source::PictureSource;
pub use text::TextEncoding;

use crate::photo::{Digest, PhotoError, PhotoLimits};
use archive::{Archive, UntilCut, spooled};
use fields::Fields;
use good::Base;
use magic::is_tar;
use names::{is_called_picture, joined};
use samples::Samples;
use sniff::{Kind, NAME_A_LIST, is_list, is_prose, kind_of};

/// A row longer than this is refused, in bytes.
const MAX_ROW_BYTES: usize = 1 << 20;
/// A list or table longer than this ends in an error, in bytes.
const MAX_TEXT_BYTES: u64 = 4 << 30;
/// What of an archive on standard input is kept in a temporary file, in bytes.
const MAX_SPOOLED_BYTES: u64 = 8 << 30;

/// Names of ignored fields that are kept for the report.
const MAX_IGNORED_FIELDS: usize = 100;

/// A row by its line, from 1.
type Numbered = (u64, Result<Fields, RowProblem>);

/// Which columns of a list or table mean what, where their names do not tell.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Says where the picture is, or holds it.
    pub picture: Option<String>,
    /// Is to be carried through, see [`Row::key`].
    pub key: Option<String>,
    /// What has to be right in the others.
    pub wanted: Wanted,
}

impl Columns {
    fn choose_picture(&self, fields: &mut Fields) -> Result<(), RowProblem> {
        if let Some(picture) = &self.picture {
            if !fields.has(picture) {
                return Err(RowProblem::NoColumn { column: picture.clone(), there: fields.written_names() });
            }
            fields.picture_is(picture);
        }
        Ok(())
    }
}

/// One of the goods of a source, or why it is none.
#[derive(Debug)]
pub struct Item {
    /// For people: `goods.csv:3`, or the path of a picture in its folder.
    pub place: String,
    /// The id that the input gives, also of a row that cannot be used.
    pub id: Option<String>,
    /// As [`Row::key`], also of a row that cannot be used.
    pub key: Option<String>,
    /// What it says, or why it cannot be used.
    pub row: Result<Row, InputError>,
}

impl Item {
    fn without_key(place: String, row: Result<Row, InputError>) -> Self {
        Self { place, id: None, key: None, row }
    }
}

/// What there is to say of a source besides its rows.
#[derive(Debug, Default)]
pub struct Report {
    /// Items that there were.
    pub items: u64,
    /// Files of a folder or archive that are no goods.
    pub skipped: Vec<(String, Skipped)>,
    /// Fields that mean nothing here, as they were written.
    pub ignored_fields: BTreeSet<String>,
    /// Whether any row had a column of the name of [`Columns::key`]; `None` where none was named, or no row had columns.
    pub has_key_column: Option<bool>,
    /// How a list or table was written, if it was not ASCII.
    pub encoding: Option<TextEncoding>,
}

/// The goods of one source, in its order.
#[derive(Debug)]
pub struct Input {
    /// Was looked at already.
    first: Option<Item>,
    items: Items,
    /// Is told of after all others.
    last: Option<Item>,
    /// The folder or archive that the items' places are in.
    root: Option<String>,
    report: Report,
    columns: Columns,
}

#[derive(Debug)]
enum Items {
    Rows {
        records: Box<Records>,
        base: Base,
        name: String,
    },
    Members(vec::IntoIter<Member>, Box<Samples>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Rows>),
    Ready(vec::IntoIter<Item>),
}

impl Input {
    /// What `named` stands for: a folder, a list, table or archive, a picture, an address of one, or `-` for standard
    /// input. Paths in a list are relative to its folder, those on standard input to the current one.
    ///
    /// # Errors
    /// [`FileProblem`] when it cannot be read at all.
    pub fn open(named: &Path) -> Result<Self, FileProblem> {
        Self::open_with(named, &Columns::default())
    }

    /// As [`Input::open`], with columns whose names do not tell what they are.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub fn open_with(named: &Path, columns: &Columns) -> Result<Self, FileProblem> {
        if is_stdin(named) {
            return Self::read(io::stdin(), "-", Path::new(""), None, columns);
        }
        let path = match named.to_str().map(|text| PictureSource::parse(text, Path::new(""))).transpose()? {
            Some(PictureSource::File(path)) => path,
            None => named.to_path_buf(),
            Some(picture) => return Ok(Self::picture(picture)),
        };
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            return Self::folder(Folder::read(&path)?, &path.display().to_string());
        }
        if is_device(&metadata) {
            let remedy = "name a file or folder, or - for standard input";
            return Err(FileProblem::Found { found: "a device", remedy });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::read(File::open(&path)?, &path.display().to_string(), folder, Some(&path), columns)
    }

    /// What was noticed by now.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The place of one of its items with the folder or archive that it is in: `shards/7.tar/000017.jpg`.
    #[must_use]
    pub fn full_place(&self, item: &Item) -> String {
        match &self.root {
            Some(root) if *root != item.place => joined(root, &item.place),
            _ => item.place.clone(),
        }
    }

    /// At least so many items follow.
    #[must_use]
    pub fn len_hint(&self) -> usize {
        match &self.items {
            Items::Rows { .. } => 0,
            Items::Members(members, _) => members.len(),
            #[cfg(feature = "parquet")]
            Items::Parquet(rows) => rows.len_hint(),
            Items::Ready(items) => items.len(),
        }
    }

    fn of_items(items: Items, columns: &Columns) -> Self {
        let columns = columns.clone();
        Self { first: None, items, last: None, root: None, report: Report::default(), columns }
    }

    fn ready(items: Vec<Item>) -> Self {
        Self::of_items(Items::Ready(items.into_iter()), &Columns::default())
    }

    /// A single picture; a file is named as it was on the command line, so that two of one name stay two.
    fn picture(picture: PictureSource) -> Self {
        let name = match &picture {
            PictureSource::File(path) => good::path_name(path),
            PictureSource::Address(address) => address.clone(),
            other => other.name(),
        };
        Self::ready(vec![Item::without_key(name.clone(), Ok(Row::of_picture(picture, name)))])
    }

    fn folder(folder: Folder, name: &str) -> Result<Self, FileProblem> {
        let Folder { pictures, skipped, unreadable, .. } = folder;
        if pictures.is_empty()
            && unreadable.is_empty()
            && let Some((count, example)) = passed_archives(name, &skipped)
        {
            return Err(FileProblem::ArchivesInFolder { count, example });
        }
        let good = |FolderPicture { name, path }| {
            Item::without_key(name.clone(), Ok(Row::of_picture(PictureSource::File(path), name)))
        };
        let failed = |(place, error)| Item::without_key(place, Err(FileProblem::Read(error).into()));
        let items = unreadable.into_iter().map(failed).chain(pictures.into_iter().map(good)).collect();
        let report = Report { skipped, ..Report::default() };
        Ok(Self { root: Some(name.to_owned()), report, ..Self::ready(items) })
    }

    /// Reads what `reader` gives; `path` is where it can be opened again.
    fn read(
        mut reader: impl Read + Send + 'static,
        name: &str,
        folder: &Path,
        path: Option<&Path>,
        columns: &Columns,
    ) -> Result<Self, FileProblem> {
        let head = records::head_of(&mut reader)?;
        let kind = match kind_of(&head) {
            // A download that failed is often empty, or a page or message under the picture's name.
            Ok(Kind::Text) | Err(_) if path.is_some() && is_called_picture(name) => Kind::Picture,
            kind => kind?,
        };
        match kind {
            Kind::Picture => match path {
                Some(path) if fs::metadata(path)?.is_file() => {
                    Ok(Self::picture(PictureSource::File(path.to_path_buf())))
                }
                _ => Self::picture_of(Cursor::new(head).chain(reader)),
            },
            Kind::Zip => {
                let file = reopened(path, head, reader)?;
                Self::archive(Archive::zip(file)?, name, columns)
            }
            Kind::Tar => {
                let file = reopened(path, head, reader)?;
                Self::archive(Archive::tar(file)?, name, columns)
            }
            Kind::Gzip => {
                let mut unpacked = flate2::read::MultiGzDecoder::new(Cursor::new(head.clone()).chain(reader));
                let inner = records::head_of(&mut UntilCut(&mut unpacked))?;
                if is_tar(&inner) {
                    let packed_bytes =
                        path.map_or(Ok(0), |path| fs::metadata(path).map(|data| data.len()))?;
                    return Self::archive(Archive::tar_gz(inner, unpacked, packed_bytes)?, name, columns);
                }
                let name = name.strip_suffix(".gz").unwrap_or(name);
                Self::rows(inner, unpacked, name, Base::Folder(folder.to_path_buf()), columns)
            }
            Kind::Parquet => Self::parquet(reopened(path, head, reader)?, name, folder, columns),
            Kind::Text => Self::rows(head, reader, name, Base::Folder(folder.to_path_buf()), columns),
        }
    }

    /// A picture without a name is named by what it holds.
    fn picture_of(reader: impl Read) -> Result<Self, FileProblem> {
        let limit_bytes = PhotoLimits::default().max_bytes;
        let mut bytes = Vec::new();
        reader.take(limit_bytes + 1).read_to_end(&mut bytes)?;
        let read = bytes.len() as u64;
        if read > limit_bytes {
            return Err(PhotoError::TooManyBytes { bytes: read, limit_bytes }.into());
        }
        let name = Digest::of(&bytes).to_string();
        let row = Row::of_picture(PictureSource::Bytes(bytes), name);
        Ok(Self::ready(vec![Item::without_key("-".to_owned(), Ok(row))]))
    }

    fn rows(
        head: Vec<u8>,
        reader: impl Read + Send + 'static,
        name: &str,
        base: Base,
        columns: &Columns,
    ) -> Result<Self, FileProblem> {
        let named: Vec<String> =
            [&columns.picture, &columns.key].into_iter().flatten().map(|name| fields::normal(name)).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let records = Records::new(head, Box::new(reader), name, &named)?;
        for column in [&columns.picture, &columns.key].into_iter().flatten() {
            if let Some(header) = records.header()
                && !header.iter().any(|name| fields::normal(name) == fields::normal(column))
            {
                return Err(FileProblem::NoSuchColumn { column: column.clone(), header: header.join(", ") });
            }
        }
        if let Some(header) = records.header().filter(|header| !good::names_picture(header, columns)) {
            return Err(FileProblem::NoPictureColumn { header: header.join(", ") });
        }
        // Of what another program is still writing, one line is too little to refuse the others for.
        let is_telling = name != "-" || records.first_paths().len() > 1;
        if let Base::Folder(folder) = &base
            && is_telling
            && is_prose(records.first_paths(), folder)
        {
            return Err(FileProblem::Found {
                found: "a text whose lines name no pictures",
                remedy: NAME_A_LIST,
            });
        }
        let items = Items::Rows { records: Box::new(records), base, name: name.to_owned() };
        Ok(Self::of_items(items, columns))
    }

    #[cfg(feature = "parquet")]
    fn parquet(file: File, name: &str, folder: &Path, columns: &Columns) -> Result<Self, FileProblem> {
        let rows = parquet::Rows::open(file, name, folder, columns)?;
        Ok(Self::of_items(Items::Parquet(Box::new(rows)), columns))
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(_: File, _: &str, _: &Path, _: &Columns) -> Result<Self, FileProblem> {
        let remedy = "save it as NDJSON or CSV: this program was built without the feature parquet";
        Err(FileProblem::Found { found: "a Parquet file", remedy })
    }

    /// The pictures of an archive, or the rows of the list in it.
    fn archive(archive: Archive, name: &str, columns: &Columns) -> Result<Self, FileProblem> {
        let archive = Arc::new(archive);
        let (members, skipped) = archive.members();
        let (members, samples) = Samples::of(members, columns);
        let lists: Vec<&Member> = members.iter().filter(|member| is_list(member.name())).collect();
        let list = match lists[..] {
            [] => None,
            [list] => Self::list_in(&archive, list, columns)?,
            _ => {
                let names: Vec<&str> = lists.iter().take(5).map(|member| member.name()).collect();
                return Err(FileProblem::SeveralLists { names: names.join(", ") });
            }
        };
        let mut input = list.unwrap_or_else(|| Self {
            report: Report { skipped, ..Report::default() },
            ..Self::of_items(Items::Members(members.into_iter(), Box::new(samples)), columns)
        });
        input.root = Some(name.to_owned());
        if archive.is_cut {
            input.last = Some(Item::without_key(name.to_owned(), Err(FileProblem::ArchiveCut.into())));
        }
        Ok(input)
    }

    /// The rows of a file that is a list by its name. `None` where it says nothing about pictures: other programs put such
    /// files beside them.
    fn list_in(
        archive: &Arc<Archive>,
        list: &Member,
        columns: &Columns,
    ) -> Result<Option<Self>, FileProblem> {
        let folder = list.name().rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let mut file = list.spool(MAX_TEXT_BYTES)?;
        let head = records::head_of(&mut file)?;
        let base = Base::Archive { folder, members: archive.by_name() };
        let mut rows = match Self::rows(head, file, list.name(), base, columns) {
            Err(FileProblem::NoPictureColumn { .. } | FileProblem::Found { .. }) => return Ok(None),
            Err(FileProblem::NoSuchColumn { column, .. }) if columns.picture.as_ref() == Some(&column) => {
                return Ok(None);
            }
            rows => rows?,
        };
        let Some(first) = rows.next_item() else { return Ok(None) };
        if let Err(InputError::Row(RowProblem::NoPicture { .. } | RowProblem::Json { .. })) = first.row {
            return Ok(None);
        }
        rows.first = Some(first);
        Ok(Some(rows))
    }
}

impl Iterator for Input {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let item = self.next_item();
        self.report.items += u64::from(item.is_some());
        item
    }
}

impl Input {
    fn next_item(&mut self) -> Option<Item> {
        let item = self.first.take().or_else(|| self.next_of_items());
        item.or_else(|| self.last.take())
    }

    fn next_of_items(&mut self) -> Option<Item> {
        match &mut self.items {
            Items::Ready(items) => items.next(),
            #[cfg(feature = "parquet")]
            Items::Parquet(rows) => rows.next(),
            Items::Members(members, samples) => loop {
                let member = members.next()?;
                match member.look() {
                    Ok(None) => return Some(samples.item(member)),
                    Ok(Some(kind)) => self.report.skipped.push((member.name().to_owned(), kind)),
                    Err(error) => {
                        return Some(Item::without_key(member.name().to_owned(), Err(error.into())));
                    }
                }
            },
            Items::Rows { records, base, name } => {
                let (line, fields) = records.next_row()?;
                self.report.encoding = records.encoding();
                let ignored = &mut self.report.ignored_fields;
                let columns = &self.columns;
                let has_key_column = &mut self.report.has_key_column;
                let (mut key, mut id) = (None, None);
                let row = fields.and_then(|mut fields| {
                    if let Some(column) = &columns.key {
                        key = fields.column(column);
                        *has_key_column = Some(*has_key_column == Some(true) || fields.has(column));
                    }
                    columns.choose_picture(&mut fields)?;
                    let row = Row::of_fields(&mut fields, base, columns.wanted, &mut id)?;
                    let row = Row { key: key.clone(), ..row };
                    for field in fields.rest() {
                        // As many as a report can show.
                        if ignored.len() < MAX_IGNORED_FIELDS && !ignored.contains(field) {
                            ignored.insert(field.to_owned());
                        }
                    }
                    Ok(row)
                });
                Some(Item { place: format!("{name}:{line}"), id, key, row })
            }
        }
    }
}

/// The file at `path`; what comes from elsewhere is kept in a temporary one.
fn reopened(path: Option<&Path>, head: Vec<u8>, reader: impl Read) -> Result<File, FileProblem> {
    let mut file = match path {
        Some(path) if fs::metadata(path)?.is_file() => File::open(path)?,
        _ => spooled(Cursor::new(head).chain(reader), MAX_SPOOLED_BYTES)?,
    };
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Whether the name stands for standard input.
pub(crate) fn is_stdin(named: &Path) -> bool {
    named == Path::new("-") || named == Path::new("/dev/stdin")
}

#[cfg(unix)]
fn is_device(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    kind.is_char_device() || kind.is_block_device() || kind.is_socket()
}

#[cfg(not(unix))]
fn is_device(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Id, title and price of each row of a file, or its error.
    fn goods(name: &str, bytes: &[u8]) -> Result<Vec<Result<[String; 3], String>>, FileProblem> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(name);
        fs::write(&file, bytes)?;
        let row = |row: Row| [row.id, row.title, row.price.map_or(String::new(), |price| price.to_string())];
        Ok(Input::open(&file)?.map(|item| item.row.map(row).map_err(|error| error.to_string())).collect())
    }

    fn written(goods: &[[String; 3]], between: &str) -> String {
        let rows = goods.iter().map(|[id, title, price]| {
            serde_json::json!({"图片": "a.jpg", "id": id, "title": title, "price": price}).to_string()
        });
        rows.collect::<Vec<_>>().join(between)
    }

    #[test]
    fn a_file_of_nothing_has_no_goods() {
        for bytes in [&b""[..], b"\n\n", b"# none\n", b"\xEF\xBB\xBF", b"[]", b"path,id\n"] {
            assert!(goods("goods.ndjson", bytes).is_ok_and(|rows| rows.is_empty()), "{bytes:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_characters_spoil_their_row_alone() {
        let text = written(
            &[["A", "红色纯棉短袖", "1"], ["B", "蓝色粉袋", "2"]].map(|row| row.map(String::from)),
            "\n",
        );
        let bytes =
            [text.as_bytes(), b"\n{\"path\":\"a\",\"id\":\"C\xE7\xBA\"}\n{\"path\":\"a\",\"id\":\"D\"}"]
                .concat();
        let rows = goods("goods.ndjson", &bytes).unwrap();
        let fine: Vec<bool> = rows.iter().map(Result::is_ok).collect();
        assert_eq!(fine, [true, true, false, true], "{rows:?}");
        assert!(rows[2].as_ref().unwrap_err().contains("save the file as UTF-8"), "{rows:?}");
    }

    #[test]
    fn text_that_is_compressed_is_read_as_if_it_were_not() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"path,id\na.jpg,A\n").unwrap();
        let rows = goods("goods.csv.gz", &gzip.finish().unwrap()).unwrap();
        assert_eq!(rows, [Ok(["A".to_owned(), "A".to_owned(), String::new()])]);
    }

    proptest! {
        #[test]
        fn goods_survive_every_form(
            goods_in in proptest::collection::vec(
                ("[A-Za-z0-9/一-龥]([ -~一-龥]{0,10}[A-Za-z0-9])?", "[!-<>-~一-龥][!-~一-龥]{0,11}", "[1-9][0-9]{0,4}\\.[0-9]{2}"), 1..6),
        ) {
            let want: Vec<[String; 3]> = goods_in.into_iter().map(|(id, title, price)| [id, title, price]).collect();
            let expected: Vec<Result<[String; 3], String>> = want.iter().cloned().map(Ok).collect();
            let lines = written(&want, "\n");
            let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
            let mut table = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
            table.write_record(["编号", "图片", "标题", "价格（元）"]).unwrap();
            for [id, title, price] in &want {
                table.write_record([id, "a.jpg", title, &format!("¥{price}")]).unwrap();
            }
            let table = table.into_inner().unwrap();
            for (name, bytes) in [
                ("a.ndjson", lines.clone().into_bytes()),
                ("b.ndjson", lines.replace('\n', "\r").into_bytes()),
                ("c.json", format!("[{}\r\n]", written(&want, ",\r\n")).into_bytes()),
                ("d.txt", [b"\xFF\xFE".to_vec(), utf16(&lines)].concat()),
                ("e.ndjson", encoding_rs::GB18030.encode(&lines).0.into_owned()),
                ("f.csv", table),
            ] {
                // A few Chinese characters in GB18030 can be UTF-8, too: that form needs more text than this.
                if name == "e.ndjson" && std::str::from_utf8(&bytes).is_ok() {
                    continue;
                }
                prop_assert_eq!(goods(name, &bytes).unwrap(), expected.clone(), "{}", name);
            }
        }

        #[test]
        fn no_file_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), start in 0_usize..8, ending in "ndjson|csv|txt|zip",
        ) {
            let starts: [&[u8]; 8] =
                [b"", b"{\"path\":", b"[{", b"path,id\n\"", b"PK\x03\x04", b"\x1F\x8B\x08\0", b"\xFF\xFE", b"a.jpg\0"];
            let _ = goods(&format!("goods.{ending}"), &[starts[start], &bytes].concat());
        }
    }
}
