//! What people have: lists in every usual form, folders, archives and pictures, given to the real binary.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Ran, Shell, text};
use crate::fakes::png;

/// A shell with the pictures a.png, b.png and c.png.
fn with_pictures() -> Shell {
    let shell = Shell::alone();
    for (name, seed) in [("a.png", 1), ("b.png", 2), ("c.png", 3)] {
        shell.write(name, &png(seed));
    }
    shell
}

/// Runs with these bytes on standard input.
fn run_with(shell: &Shell, args: &[&str], input: &[u8]) -> Ran {
    let mut command = shell.command(args);
    let file = shell.write("stdin", input);
    command.stdin(Stdio::from(std::fs::File::open(file).unwrap()));
    Ran::of(&mut command)
}

/// Id, title and price of the good that a picture is answered with.
fn good_of(shell: &Shell, picture: &str) -> [String; 3] {
    let found = shell.run(&["--json", "offers", picture]);
    let found = found.lines().into_iter().next().unwrap_or_default();
    let offer = &found["answers"][0]["offers"][0];
    ["offer_id", "title", "price"].map(|key| offer[key].as_str().unwrap_or("-").to_owned())
}

const ROWS: &str = "{\"path\":\"a.png\",\"id\":\"A-1\",\"title\":\"红色纯棉短袖\",\"price\":\"59.00\"}\n\
                    {\"path\":\"b.png\",\"id\":\"A-2\",\"title\":\"蓝色粉袋\",\"price\":\"9.90\"}\n";

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_list_in_any_usual_form_gives_the_same_goods() {
    let array = format!("[{}]", ROWS.trim().replace('\n', ","));
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&array).unwrap()).unwrap();
    let table = "path,id,title,price\na.png,A-1,红色纯棉短袖,59.00\nb.png,A-2,蓝色粉袋,9.90\n";
    let chinese =
        "图片;编号;标题;价格（元）\n\"a.png\";A-1;红色纯棉短袖;59,00\n\"b.png\";A-2;蓝色粉袋;9,90\n";
    let (gbk, ..) = encoding_rs::GB18030.encode(ROWS);
    let (gbk_table, ..) = encoding_rs::GB18030.encode(chinese);
    let forms: [(&str, Vec<u8>); 14] = [
        ("plain.ndjson", ROWS.into()),
        ("bom.ndjson", [b"\xEF\xBB\xBF", ROWS.as_bytes()].concat()),
        ("crlf.ndjson", ROWS.replace('\n', "\r\n").into()),
        ("cr.ndjson", ROWS.replace('\n', "\r").into()),
        ("blank.ndjson", format!("\n# goods\n{}\n \n", ROWS.replace('\n', "\n\n")).into()),
        ("utf16.ndjson", [b"\xFF\xFE".to_vec(), utf16(ROWS)].concat()),
        ("utf16_no_mark.csv", utf16(table)),
        ("gbk.ndjson", gbk.into_owned()),
        ("gbk_table.csv", gbk_table.into_owned()),
        ("array.json", array.into()),
        ("pretty.json", pretty.into()),
        ("table.csv", table.into()),
        ("table.tsv", table.replace(',', "\t").into()),
        ("without_ending", chinese.into()),
    ];
    for (name, bytes) in forms {
        let shell = with_pictures();
        let list = shell.write(name, &bytes);
        let ran = shell.run(&["--json", "add", text(&list)]);
        assert_eq!(ran.status, 0, "{name}: {ran:?}");
        assert!(ran.err.contains("2 added, 0 already there, 0 failed"), "{name}: {}", ran.err);
        assert_eq!(good_of(&shell, "a.png"), ["A-1", "红色纯棉短袖", "59.00"], "{name}");
        assert_eq!(good_of(&shell, "b.png"), ["A-2", "蓝色粉袋", "9.90"], "{name}");
    }
}

#[test]
fn a_list_of_paths_on_standard_input_gives_a_good_for_each() {
    for paths in ["a.png\n./b.png\n", "a.png\0b.png\0", "# mine\r\n\r\n \"a.png\" \r\nb.png"] {
        let shell = with_pictures();
        let ran = run_with(&shell, &["--json", "add", "-"], paths.as_bytes());
        assert_eq!(ran.status, 0, "{paths:?}: {ran:?}");
        let ids: std::collections::BTreeSet<String> =
            ran.lines().iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.contains("b.png") && ids.len() == 2, "{paths:?}: {ids:?}");
        assert_eq!(good_of(&shell, "b.png")[1], "b");
    }
}

#[cfg(unix)]
#[test]
fn one_odd_name_in_a_list_that_ends_names_with_nul_is_one_error() {
    let shell = with_pictures();
    shell.write("two\nlines.png", &png(4));
    let ran = run_with(&shell, &["--json", "add", "-"], b"a.png\0caf\xE9.png\0two\nlines.png\0b.png\0");
    assert!(ran.status == 2 && ran.err.contains("3 added, 0 already there, 1 failed"), "{ran:?}");
    let failed: Vec<Value> = ran.lines().into_iter().filter(|line| !line["error"].is_null()).collect();
    assert_eq!((failed.len(), &failed[0]["at"]), (1, &json!("-:2")), "{ran:?}");
}

#[test]
fn an_error_names_the_line_the_field_and_the_remedy_and_the_other_rows_are_stored() {
    let shell = with_pictures();
    let lines = "path,id,title,price,stock\n\
                 a.png,A,\"two\nlines\",59,1\n\
                 b.png,B,x,\"59.00-89.00\",1\n\
                 ,C,x,1,1\n\
                 c.png,8.64704E+11,x,1,1\n\
                 c.png,E,x,1,1,1\n\
                 c.png,F,x,$5,1\n\
                 c.png,G,x,,\n";
    shell.write("goods.csv", lines.as_bytes());
    let ran = shell.run(&["--json", "add", "goods.csv"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("2 added, 0 already there, 5 failed"), "{}", ran.err);
    for told in [
        "goods.csv:4: field \"price\": \"59.00-89.00\" is a range: give one price",
        "goods.csv:5: field \"path\" is empty",
        "goods.csv:6: field \"id\": \"8.64704E+11\" was rounded by a spreadsheet",
        "goods.csv:7: the row has 6 fields where the header has 5",
        "goods.csv:8: field \"price\": \"$5\" is not in yuan",
    ] {
        assert!(ran.err.contains(told), "{told} is not in {}", ran.err);
    }
    assert_eq!(ran.err.matches("ignored fields: stock").count(), 1, "{}", ran.err);
    assert_eq!(ran.err.matches("is a range").count(), 1, "an error says a thing once: {}", ran.err);
    assert_eq!(good_of(&shell, "c.png"), ["G", "x", "-"]);
}

#[test]
fn ids_and_prices_are_taken_as_programs_write_them() {
    let shell = with_pictures();
    let rows = "{\"image\":\"a.png\",\"id\":864704291266,\"price\":59.90}\n\
                {\"file\":\"b.png\",\"sku\":\"货号-101\",\"name\":\"杯\",\"price\":\"¥1,299.00\"}\n\
                {\"url\":\"c.png\",\"offer_id\":\"AB 102/红\",\"price\":\"\"}\n";
    shell.write("goods.ndjson", rows.as_bytes());
    let ran = shell.run(&["add", "goods.ndjson"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(good_of(&shell, "a.png"), ["864704291266", "864704291266", "59.90"]);
    assert_eq!(good_of(&shell, "b.png"), ["货号-101", "杯", "1299.00"]);
    assert_eq!(good_of(&shell, "c.png"), ["AB 102/红", "AB 102/红", "-"]);
}

#[test]
fn an_id_that_excel_was_told_to_keep_as_text_is_that_text() {
    let shell = with_pictures();
    shell.write("goods.csv", b"path,id,title\na.png,=\"0012\",=\"7\"\n");
    assert_eq!(shell.run(&["add", "goods.csv"]).status, 0);
    assert_eq!(good_of(&shell, "a.png"), ["0012", "7", "-"]);
}

#[test]
fn a_list_in_big5_is_read_and_told() {
    let shell = with_pictures();
    let (bytes, ..) = encoding_rs::BIG5.encode("圖片,編號,標題\na.png,藍色-01,純棉短袖上衣\n");
    shell.write("goods.csv", &bytes);
    let ran = shell.run(&["add", "goods.csv"]);
    assert!(ran.status == 0 && ran.err.contains("goods.csv: read as Big5"), "{ran:?}");
    assert_eq!(good_of(&shell, "a.png"), ["藍色-01", "純棉短袖上衣", "-"]);
}

#[test]
fn one_file_under_two_spellings_of_its_path_is_one_good() {
    let shell = with_pictures();
    shell.write("p/1.png", &png(9));
    let ran = shell.run(&["--json", "add", "./p/1.png", "p/1.png"]);
    assert!(ran.status == 0 && ran.err.contains("1 added, 1 already there, 0 failed"), "{ran:?}");
    assert_eq!(ran.lines().iter().map(|line| line["photos"].clone()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn prose_is_no_list_of_paths_and_is_named_so() {
    let shell = with_pictures();
    let readme = "Pictures of our goods\n=====================\n\nAll of them were taken in 2025.\nSee docs/how.md, or ask Li.\n";
    for (name, text) in
        [("README.md", readme), ("note.txt", "hello\n"), ("licence", "Permission is granted\nto all.\n")]
    {
        shell.write(name, text.as_bytes());
        let ran = shell.run(&["add", name]);
        let told = format!("{name}: is a text whose lines name no pictures: name a folder");
        assert!(
            ran.status == 2 && ran.err.contains(&told) && ran.err.lines().count() == 1,
            "{name}: {ran:?}"
        );
    }
    // More may follow on standard input: a line there is told of by itself.
    let ran = run_with(&shell, &["add", "-"], b"hello\n");
    assert!(ran.status == 2 && ran.err.contains("0 added, 0 already there, 1 failed"), "{ran:?}");
    // Names that are not there are paths all the same, by their endings; a line that is none is told.
    std::fs::rename(shell.path("c.png"), shell.path("without-ending")).unwrap();
    shell.write("list.txt", "a.png\nwithout-ending\ngone.JPG\nnot a picture\n".as_bytes());
    let ran = shell.run(&["add", "list.txt"]);
    assert!(ran.status == 2 && ran.err.contains("2 added, 0 already there, 2 failed"), "{ran:?}");
}

#[test]
fn what_has_no_end_or_is_no_list_ends_in_an_error() {
    let shell = with_pictures();
    shell.write("book.xls", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1rest");
    shell.write("goods.xlsx", &zipped(&[("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")]));
    shell.write("bad.zip", b"PK\x03\x04 no zip");
    shell.write("page.csv", b"<html><table></table></html>");
    shell.write("goods.rar", b"Rar!\x1a\x07\x00");
    shell.write("deep.json", "[".repeat(1 << 20).as_bytes());
    shell.write("cut.json", b"[{\"path\":\"a.png\",\"id\":\"A\"},{\"path\":");
    shell.write("open.csv", format!("path,id\n\"a.png,A\n{}", "b.png,B\n".repeat(200_000)).as_bytes());
    shell.write("columns.csv", b"id,title\nA,x\n");
    for (name, told) in [
        ("book.xls", "Excel"),
        ("goods.xlsx", "CSV UTF-8"),
        ("bad.zip", "archive"),
        ("page.csv", "HTML"),
        ("goods.rar", "unpack it"),
        ("deep.json", "deep.json:1: brackets lie more than 64 deep"),
        ("cut.json", "cut.json:1: this value or array does not end"),
        ("open.csv", "open.csv:2: a row is longer than 1048576 bytes: close the quote"),
        ("columns.csv", "no column names a picture (there are: id, title)"),
        ("no-such.csv", "no-such.csv: cannot be read"),
        ("ftp://host/a.jpg", "ftp"),
    ] {
        let ran = shell.run(&["add", name]);
        assert!(ran.status == 2 && ran.err.contains(told), "{name}: {ran:?}");
    }
    if Path::new("/dev/zero").exists() {
        let ran = shell.run(&["add", "/dev/zero"]);
        assert!(ran.status == 2 && ran.err.contains("a device"), "{ran:?}");
        for device in ["/dev/zero", "/dev/urandom"] {
            let mut command = shell.command(&["add", "-"]);
            command.stdin(Stdio::from(std::fs::File::open(device).unwrap()));
            let ran = Ran::of(&mut command);
            assert!(ran.status == 2 && ran.err.contains("-: is "), "{device}: {ran:?}");
        }
    }
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(super) fn tarred(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn the_pictures_of_an_archive_are_goods_and_the_rest_is_told() {
    let (a, b) = (png(1), png(2));
    let files: [(&str, &[u8]); 5] = [
        ("goods/a.png", &a),
        ("goods/马克杯", &b),
        ("goods/readme.txt", b"no picture"),
        ("__MACOSX/goods/._a.png", b"junk"),
        ("goods/phone.heic", b"\0\0\0\x20ftypheic\0\0\0\0"),
    ];
    let tar = tarred(&files);
    for (name, bytes) in
        [("goods.zip", zipped(&files)), ("goods.tar", tar.clone()), ("goods.tgz", gzipped(&tar))]
    {
        let shell = with_pictures();
        shell.write(name, &bytes);
        let ran = shell.run(&["--json", "add", name]);
        assert_eq!(ran.status, 0, "{name}: {ran:?}");
        assert!(
            ran.err
                .contains("2 added, 0 already there, 0 failed, 3 skipped: 1 HEIC, 1 not a picture, 1 hidden"),
            "{name}: {}",
            ran.err
        );
        assert!(ran.lines().contains(&json!({"id": "goods/phone.heic", "skipped": "HEIC"})), "{name}");
        assert_eq!(good_of(&shell, "b.png"), ["goods/马克杯", "马克杯", "-"], "{name}");
        let piped = run_with(&shell, &["add", "-"], &bytes);
        assert!(piped.err.contains("0 added, 2 already there"), "{name}: {piped:?}");
    }
}

#[test]
fn a_tar_that_is_cut_off_is_told_of_and_the_files_before_that_count() {
    let (a, b) = (png(1), png(2));
    let whole = tarred(&[("a.png", &a), ("b.png", &b)]);
    let first = 512 + a.len().next_multiple_of(512);
    let both = first + 512 + b.len().next_multiple_of(512);
    let packed = gzipped(&whole);
    for (what, bytes, added, is_cut) in [
        ("all of it", whole.clone(), 2, false),
        ("one block of zeros", whole[..both + 512].to_vec(), 2, false),
        ("no block of zeros", whole[..both].to_vec(), 2, true),
        ("between two files", whole[..first].to_vec(), 1, true),
        ("in a header", whole[..first + 100].to_vec(), 1, true),
        ("before it was compressed", gzipped(&whole[..first]), 1, true),
        ("after it was compressed", packed[..packed.len() * 3 / 4].to_vec(), 1, true),
    ] {
        let shell = Shell::alone();
        shell.write("goods.tar", &bytes);
        let ran = shell.run(&["--json", "add", "goods.tar"]);
        assert_eq!(ran.status, if is_cut { 2 } else { 0 }, "{what}: {ran:?}");
        assert!(ran.err.contains(&format!("{added} added")), "{what}: {ran:?}");
        let told = "goods.tar: ends before the end mark of a tar";
        assert_eq!(ran.err.matches(told).count(), usize::from(is_cut), "{what}: {ran:?}");
        let last = ran.lines().pop().unwrap();
        assert_eq!(last["code"] == "archive_cut_off", is_cut, "{what}: {last}");
        let piped = run_with(&shell, &["add", "-"], &bytes);
        assert_eq!(piped.err.contains("-: ends before"), is_cut, "{what}: {piped:?}");
    }
}

#[test]
fn tars_that_were_written_one_after_the_other_are_read_to_the_last_one() {
    let (a, b) = (png(1), png(2));
    let (one, other) = (tarred(&[("a.png", &a)]), tarred(&[("b.png", &b)]));
    let both = [one.clone(), other.clone()].concat();
    let cut = one.len() + 512 + b.len().next_multiple_of(512);
    for (what, bytes, added, is_cut) in [
        ("two tars", both.clone(), 2, false),
        ("with zeros between them", [one.clone(), vec![0; 20 * 512], other.clone()].concat(), 2, false),
        ("with something else behind", [both.clone(), vec![b'x'; 600]].concat(), 2, false),
        ("the second cut off", both[..cut].to_vec(), 2, true),
        ("the second cut off in its first header", both[..one.len() + 400].to_vec(), 1, true),
        ("compressed as one", gzipped(&both), 2, false),
        ("compressed apart", [gzipped(&one), gzipped(&other)].concat(), 2, false),
    ] {
        let shell = Shell::alone();
        let piped = run_with(&shell, &["--json", "add", "-"], &bytes);
        assert!(piped.err.contains(&format!("{added} added")), "{what}: {piped:?}");
        assert_eq!(piped.err.contains("-: ends before the end mark"), is_cut, "{what}: {piped:?}");
        shell.write("again.png", if added == 2 { &b } else { &a });
        let ran = shell.run(&["search", "--offline", "--json", "again.png"]);
        assert_eq!(ran.json()["rule"], "same_bytes", "{what}: those of the second are read: {ran:?}");
    }
}

#[test]
fn the_list_in_an_archive_says_what_its_pictures_are() {
    let (a, b) = (png(1), png(2));
    let list = "{\"path\":\"img/a.png\",\"id\":\"A\"}\n{\"path\":\"./img\\\\b.png\",\"id\":\"B\"}\n\
                {\"path\":\"../../etc/passwd\",\"id\":\"C\"}\n{\"path\":\"file:///etc/passwd\",\"id\":\"D\"}\n";
    let files: [(&str, &[u8]); 3] =
        [("x/goods.ndjson", list.as_bytes()), ("x/img/a.png", &a), ("x/img/b.png", &b)];
    for (name, bytes) in [("goods.zip", zipped(&files)), ("goods.tar.gz", gzipped(&tarred(&files)))] {
        let shell = with_pictures();
        shell.write(name, &bytes);
        let ran = shell.run(&["add", name]);
        assert!(ran.err.contains("2 added, 0 already there, 2 failed"), "{name}: {}", ran.err);
        assert!(
            ran.err.contains("x/goods.ndjson:3") && ran.err.contains("no such file in the archive"),
            "{}",
            ran.err
        );
        assert_eq!(good_of(&shell, "b.png")[0], "B", "{name}");
    }
}

#[test]
fn several_sources_are_added_and_two_files_never_become_one_good() {
    let shell = with_pictures();
    shell.write("red/1.png", &png(4));
    shell.write("blue/1.png", &png(5));
    let ran = shell.run(&["--json", "add", "a.png", "red/1.png", "no-such.png", "blue/1.png"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("3 added, 0 already there, 1 failed"), "{}", ran.err);
    assert_eq!(good_of(&shell, "red/1.png"), ["red/1.png", "1", "-"]);
    let folders = shell.run(&["add", "red", "blue"]);
    assert_eq!(folders.status, 2, "{folders:?}");
    assert!(
        folders.err.contains("1 failed") && folders.err.contains("name a folder above both"),
        "{}",
        folders.err
    );
}

#[test]
fn a_folder_is_read_by_content_and_what_is_passed_over_is_told() {
    let shell = Shell::alone();
    for (name, seed) in [("noext", 1), ("a.jpg_Q75.jpg_", 2), ("b.webp_tmp", 3)] {
        shell.write(&format!("mine/{name}"), &png(seed));
    }
    shell.write("mine/.thumbnails/x.png", &png(9));
    shell.write("mine/empty.jpg", b"");
    shell.write("mine/iphone.avif", b"\0\0\0\x20ftypavif\0\0\0\0");
    let ran = shell.run(&["--json", "add", "mine"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(
        ran.err.contains(
            "3 added, 0 already there, 0 failed, 3 skipped: 1 AVIF, 1 empty, 1 hidden or left by a system \
             (convert AVIF to JPEG or PNG first)"
        ),
        "{}",
        ran.err
    );
    let stats = shell.run(&["--json", "stats"]).json();
    assert_eq!(stats["counts"]["photos"], 3);
}

#[test]
fn every_command_takes_a_file_an_address_of_a_file_and_standard_input() {
    let shell = with_pictures();
    shell.write("马 克.png", &png(1));
    shell.run(&["add", "a.png", "b.png"]);
    let address = format!("file://{}", text(&shell.path("%E9%A9%AC%20%E5%85%8B.png")));
    let bytes = png(1);
    for named in ["a.png", address.as_str(), "-", " a.png "] {
        let run = |args: &[&str]| run_with(&shell, args, &bytes);
        assert_eq!(run(&["--offline", "search", named]).status, 0, "search {named}");
        assert_eq!(run(&["offers", named]).status, 0, "offers {named}");
        let similar = run(&["--json", "similar", named, "-k", "1"]).json();
        assert_eq!(similar["similar"][0]["similarity"], 100, "similar {named}");
        assert_eq!(run(&["not-same", named, "b.png"]).status, 0, "not-same {named}");
        assert_eq!(run(&["same", "--forget", named, "b.png"]).status, 0, "same {named}");
        assert_eq!(run(&["forget", named]).status, 0, "forget {named}");
        assert_eq!(run(&["add", "a.png"]).status, 0, "add {named}");
    }
    for named in ["ftp://host/a.png", "https://", "file://server/a.png"] {
        for command in ["search", "offers", "similar", "forget"] {
            assert_eq!(shell.run(&["--offline", command, named]).status, 2, "{command} {named}");
        }
    }
}

#[test]
fn addresses_are_fetched_by_every_command_and_in_lists_but_never_offline() {
    let shell = Shell::with_sandbox();
    let catalogue = shell.sandbox().catalogue();
    let id = &catalogue.goods()[3].offer_id;
    let address = format!("{}/img/{id}/main.jpg", shell.sandbox().base_url());
    let loud = address.replacen("http://", "HTTP://", 1);
    let list = json!({"url": address, "id": "A-1", "title": "mug"}).to_string();
    shell.write("goods.ndjson", list.as_bytes());
    let offline = shell.run(&["--offline", "add", "goods.ndjson"]);
    assert!(offline.status == 2 && offline.err.contains("--offline"), "{offline:?}");
    let ran = shell.run(&["add", "goods.ndjson"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    for command in ["search", "offers", "similar"] {
        assert_eq!(shell.run(&[command, &loud]).status, 0, "{command}");
        assert_eq!(shell.run(&["--offline", command, &loud]).status, 2, "{command}");
    }
    assert_eq!(shell.sandbox().counters().searches_ok, 0, "a hit costs nothing");
    assert_eq!(shell.run(&["forget", &loud]).status, 0);
    assert_eq!(shell.run(&["add", &address]).status, 0);
}

#[test]
fn eval_takes_its_manifest_in_every_form() {
    let shell = with_pictures();
    let table = "picture;role;item;seen on\r\na.png;reference;A;x\r\nb.png;reference;B;x\r\na.png;query;A;x\r\nc.png;query;;x\r\n";
    let rows = "[{\"path\":\"a.png\",\"role\":\"reference\",\"item\":1},\n{\"path\":\"b.png\",\"role\":\"reference\",\"item\":2},\n\
                {\"path\":\"a.png\",\"role\":\"query\",\"item\":1},{\"path\":\"c.png\",\"role\":\"query\",\"item\":null}]";
    let marked = [b"\xEF\xBB\xBF", table.as_bytes()].concat();
    for (name, bytes) in [
        ("m.csv", marked),
        ("m16.csv", [b"\xFF\xFE".to_vec(), utf16(table)].concat()),
        ("m.json", rows.into()),
    ] {
        shell.write(name, &bytes);
        let ran = shell.run(&["--json", "eval", name]);
        assert_eq!(ran.status, 0, "{name}: {ran:?}");
        assert_eq!((&ran.json()["references"], &ran.json()["queries"]), (&2.into(), &2.into()), "{name}");
        assert_eq!(ran.err.contains("ignored fields: seen on"), name != "m.json", "{name}: {}", ran.err);
    }
    let piped = run_with(&shell, &["--json", "eval", "-"], table.as_bytes());
    assert_eq!(piped.json()["queries"], 2, "{piped:?}");
}

#[test]
fn rows_are_stored_while_the_rest_is_still_being_written() {
    let shell = with_pictures();
    let mut child =
        spawn(shell.command(&["--json", "add", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    // As many rows as are read at once; the answer must not wait for the end of the input.
    for _ in 0..64 {
        stdin.write_all(b"{\"path\":\"a.png\",\"id\":\"A\"}\n").unwrap();
    }
    stdin.flush().unwrap();
    let mut first = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut first).unwrap();
    assert!(first.contains("photo_id"), "{first}");
    drop(stdin);
    std::io::Read::read_to_string(&mut out, &mut first).unwrap();
    assert!(child.wait().unwrap().success());
}

fn spawn(command: &mut Command) -> std::process::Child {
    command.stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn links_in_a_tar_are_the_files_that_they_lead_to_or_told() {
    let shell = with_pictures();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name(shell.path("a.png"), "goods/a.png").unwrap();
    for (name, target, kind) in [
        ("goods/hard.png", "goods/a.png", tar::EntryType::Link),
        ("goods/soft.png", "a.png", tar::EntryType::Symlink),
        ("goods/out.png", "../../b.png", tar::EntryType::Symlink),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, name, target).unwrap();
    }
    let archive = shell.write("goods.tar", &tar.into_inner().unwrap());
    let ran = shell.run(&["--json", "add", text(&archive)]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let mut ids: Vec<String> =
        ran.lines().iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids, ["goods/a.png", "goods/hard.png", "goods/out.png", "goods/soft.png"]);
    assert!(ran.lines().iter().any(|line| line["id"] == "goods/out.png" && !line["skipped"].is_null()));
}

/// Zips with one name twice are made by programs that add to one; the reader finds the last, as unpacking would leave.
#[test]
fn a_name_that_stands_twice_in_a_zip_is_told() {
    let shell = Shell::alone();
    let (first, last) = (png(1), png(2));
    let mut bytes = zipped(&[("a.png", &first), ("b.png", &last), ("c.png", &png(3))]);
    // As long as the other, which is all that a directory says of a name.
    let places: Vec<usize> =
        bytes.windows(5).enumerate().filter(|(_, w)| *w == b"b.png").map(|(at, _)| at).collect();
    for at in places {
        bytes[at] = b'a';
    }
    shell.write("goods.zip", &bytes);
    let ran = shell.run(&["--json", "add", "goods.zip"]);
    assert!(
        ran.status == 0 && ran.err.contains("2 added") && ran.err.contains("1 skipped: 1 followed by"),
        "{ran:?}"
    );
    let skipped: Vec<Value> = ran.lines().into_iter().filter(|line| line.get("skipped").is_some()).collect();
    assert_eq!((skipped.len(), &skipped[0]["id"]), (1, &json!("a.png")));
    shell.write("last.png", &last);
    assert_eq!(good_of(&shell, "last.png")[0], "a.png");
    // In a tar both are there, as pictures of one good.
    shell.write("goods.tar", &tarred(&[("t.png", &png(4)), ("t.png", &png(5))]));
    let ran = shell.run(&["--json", "add", "goods.tar"]);
    assert!(ran.status == 0 && ran.err.contains("2 added"), "{ran:?}");
}

#[test]
fn files_of_other_programs_beside_the_pictures_of_an_archive_are_passed_over() {
    let shell = with_pictures();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name(shell.path("a.png"), "a.png").unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "settings.json", &b"{}"[..]).unwrap();
    let archive = shell.write("goods.tar", &tar.into_inner().unwrap());
    let ran = shell.run(&["--json", "add", text(&archive)]);
    assert!(ran.status == 0 && ran.err.contains("1 added"), "{ran:?}");
}
