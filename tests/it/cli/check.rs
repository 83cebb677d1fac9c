//! `tongkuan check`: lines, files, columns, resuming, asking.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use super::{Ran, Shell, text};
use crate::check::copy;
use crate::fakes::{mix, png};

fn field<'a>(lines: &'a [Value], name: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[name].as_str().unwrap_or("-")).collect()
}

#[test]
fn copies_are_named_by_the_key_of_the_first_one() {
    let shell = Shell::alone();
    for (name, bytes) in
        [("a.png", png(1)), ("b.jpg", copy(1, 80)), ("c.png", png(2)), ("d.png", b"x".to_vec())]
    {
        shell.write(name, &bytes);
    }
    shell.write("list.csv", b"path,sku_no,title\na.png,K-1,x\nb.jpg,K-2,y\nc.png,,z\nd.png,K-4,\n");
    let ran = shell.run(&["check", "--add", "--key", "sku_no", "list.csv"]);
    assert_eq!(ran.status, 2, "one is an error: {ran:?}");
    let lines = ran.lines();
    assert_eq!(added(&lines), [true, false, true, false]);
    assert_eq!((field(&lines, "outcome")[1], field(&lines, "outcome")[3]), ("seen", "error"));
    assert_eq!(field(&lines, "key"), ["K-1", "K-2", "-", "K-4"]);
    assert_eq!(field(&lines, "matched_label")[..2], ["-", "K-1"]);
    assert_eq!(lines[3]["code"], "not_a_picture");
    assert!(ran.err.contains("1 seen, ") && ran.err.contains(" new, 1 failed"), "{}", ran.err);
    // Another run, from standard input, of some columns.
    let mut child = shell
        .command(&["check", "--columns", "key,outcome,matched_label", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"path\":\"b.jpg\",\"id\":\"B\"}\n{\"path\":\"c.png\"}\n")
        .unwrap();
    let out = child.wait_with_output().unwrap();
    let out = String::from_utf8(out.stdout).unwrap();
    let wanted = "{\"key\":\"B\",\"outcome\":\"seen\",\"matched_label\":\"K-1\"}\n\
                  {\"key\":null,\"outcome\":\"seen\",\"matched_label\":\"c.png\"}\n";
    assert_eq!(out, wanted);
}

#[test]
fn a_program_may_wait_for_each_answer_before_it_writes_the_next_line() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("杯.jpg", &copy(1, 80));
    let mut command = shell.command(&["check", "--add", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    for (name, outcome) in [("a.png", "new"), ("杯.jpg", "seen")] {
        lines.write_all(format!("{{\"path\":\"{name}\"}}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["id"], &answer["outcome"]), (&name.into(), &outcome.into()), "{answer}");
    }
    drop(lines);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("list.csv", b"path,id\na.png,1\n");
    shell.write("there.ndjson", b"{}\n");
    shell.write("ours.ndjson", b"{\"row\":0,\"id\":\"a.png\",\"outcome\":\"new\"}\n");
    shell.write("conf.json", b"{\"my\":\"config\"}");
    for (args, said) in [
        (&["check", "a.png"][..], "there is no home"),
        (&["check", "--add", "--key", "sku", "list.csv"], "has no column \"sku\" (there are: path, id)"),
        (&["check", "--add", "--columns", "row,colour", "a.png"], "there is no column \"colour\""),
        (&["check", "--add", "--out", "ours.ndjson", "a.png"], "--resume goes on with it"),
        (&["check", "--add", "--out", "there.ndjson", "a.png"], "this command has not written it"),
        (&["check", "--add", "--out", "conf.json", "a.png"], "this command has not written it"),
        (
            &["check", "--add", "--out", "conf.json", "--resume", "a.png"],
            "no line as this command writes them",
        ),
        (&["check", "--add", "--out", "lines.csv", "a.png"], "name a file .ndjson"),
        (&["check", "--add", "--column", "nope", "list.csv"], "has no column \"nope\" (there are: path, id)"),
        (&["check", "--add", "--out", "there.ndjson", "--resume", "a.png"], "line 1 has no row and outcome"),
        (
            &["check", "--add", "--out", "o.ndjson", "--columns", "row,outcome", "a.png"],
            "needs the columns row, id and outcome",
        ),
        (&["check", "--add", "--ask", "--offline", "a.png"], "--ask"),
        (&["check", "--ask", "a.png"], "--add"),
    ] {
        let ran = shell.run(args);
        assert_eq!(ran.status, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(said), "{args:?}: {}", ran.err);
    }
    assert_eq!(fs::read(shell.path("conf.json")).unwrap(), b"{\"my\":\"config\"}");
    assert!(!shell.path("lines.csv").exists());
    let is_there = shell.path("home/catalog.sqlite").exists();
    assert!(!is_there || shell.run(&["stats", "--json"]).json()["counts"]["photos"] == 0);
}

#[test]
fn a_shorter_list_is_not_taken_for_the_one_that_is_resumed() {
    let shell = Shell::alone();
    for seed in 1..=3 {
        shell.write(&format!("long/{seed}.png"), &png(seed));
    }
    shell.write("short/1.png", &png(1));
    assert_eq!(shell.run(&["check", "--add", "--out", "o.ndjson", "long"]).status, 0);
    let before = fs::read(shell.path("o.ndjson")).unwrap();
    let ran = shell.run(&["check", "--add", "--out", "o.ndjson", "--resume", "short"]);
    assert!(ran.status == 2 && ran.err.contains("name the same sources"), "{ran:?}");
    assert_eq!(fs::read(shell.path("o.ndjson")).unwrap(), before);
    let same = shell.run(&["check", "--add", "--out", "o.ndjson", "--resume", "long"]);
    assert!(same.status == 0 && same.err.contains("3 told of before"), "{same:?}");
}

#[test]
fn a_run_is_resumed_only_as_it_was_made_and_in_its_home() {
    let shell = Shell::alone();
    for seed in 1..=3 {
        shell.write(&format!("some/{seed}.png"), &png(seed));
    }
    let run = |args: &[&str]| shell.run(&[&["check", "some", "--out"], args].concat());
    assert_eq!(run(&["added.ndjson", "--add"]).status, 0);
    assert_eq!(run(&["there.ndjson"]).status, 0);
    assert_eq!(
        shell.run(&["check", "some", "--home", "empty", "--out", "new.ndjson"]).status,
        2,
        "no home is there"
    );
    assert_eq!(shell.run(&["add", "some/1.png", "--home", "other"]).status, 0);
    assert_eq!(shell.run(&["check", "some", "--home", "other", "--out", "new.ndjson"]).status, 0);
    for (args, why) in [
        (&["added.ndjson", "--resume"][..], "was made with --add"),
        (&["new.ndjson", "--resume", "--add"], "was made without --add"),
        (&["added.ndjson", "--resume", "--add", "--home", "other"], "which this home has not"),
    ] {
        let before = fs::read(shell.path(args[0])).unwrap();
        let ran = run(args);
        assert!(ran.status == 2 && ran.err.contains(why) && ran.err.contains(args[0]), "{args:?} {ran:?}");
        assert_eq!(fs::read(shell.path(args[0])).unwrap(), before);
    }
    assert_eq!(shell.run(&["stats", "--home", "other", "--json"]).json()["counts"]["photos"], 1);
    assert_eq!(run(&["added.ndjson", "--resume", "--add"]).status, 0);
}

#[test]
fn what_is_called_a_picture_and_is_none_has_a_line_or_is_named() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("empty.jpg", b"");
    shell.write("page.jpg", b"<html>404</html>");
    shell.write("said.JPG", b"{\"error\":\"gone\"}");
    let ran = shell.run(&["check", "--add", "a.png", "empty.jpg", "page.jpg", "said.JPG"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    let lines = ran.lines();
    assert_eq!(field(&lines, "outcome"), ["new", "error", "error", "error"]);
    assert_eq!(field(&lines, "code"), ["-", "empty", "not_a_picture", "not_a_picture"]);
    for (name, code) in [("empty.jpg", "empty"), ("page.jpg", "not_a_picture")] {
        for command in ["check", "add", "search"] {
            let ran = shell.run(&["--json", command, name]);
            assert_eq!((ran.status, &ran.json()["code"]), (2, &code.into()), "{command} {name}: {ran:?}");
        }
    }
    shell.write("mine/a.png", &png(1));
    for n in 10..22 {
        shell.write(&format!("mine/{n}.jpg"), b"");
    }
    fs::create_dir(shell.path("none")).unwrap();
    for command in ["check", "add"] {
        let ran = shell.run(&[command, "mine", "none"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        for said in
            ["mine: 10.jpg is passed over: empty", "mine: and 2 more", "none: there is no picture in it"]
        {
            assert!(ran.err.contains(said), "{command}: {said}: {}", ran.err);
        }
        assert!(!ran.err.contains("mine: 20.jpg"), "{}", ran.err);
    }
}

#[test]
fn what_is_no_file_of_a_check_is_not_judged_again() {
    let shell = Shell::alone().with_home();
    shell.write("few.ndjson", b"{\"row\":0,\"outcome\":\"seen\"}\n");
    shell.write("o.parquet", b"PAR1\xFF\xFE\n");
    for (name, said) in
        [("few.ndjson", "with all columns: it lacks rule"), ("o.parquet", "with all columns: it is no text")]
    {
        let ran = shell.run(&["check", "--max-false-hit", "0.01", "--rejudge", name]);
        assert!(ran.status == 2 && ran.out.is_empty(), "{ran:?}");
        assert!(ran.err.contains(&format!("{name}:1 is no line")) && ran.err.contains(said), "{ran:?}");
    }
}

/// Which of them were stored. Another drawn picture may be one to review: it is a photo of its own all the same.
fn added(lines: &[Value]) -> Vec<bool> {
    lines.iter().map(|line| line["added"] == true).collect()
}

/// Pictures of which some are copies of others, and a list of them.
fn pictures(shell: &Shell, rows: u64, seed: u64) -> PathBuf {
    let mut list = String::new();
    for row in 0..rows {
        let of = u32::try_from(mix(row, seed) % (rows / 2)).unwrap();
        let bytes = match mix(row, seed + 1) % 4 {
            0 => png(of),
            1 => copy(of, 50),
            2 => copy(of, 90),
            _ => b"no picture".to_vec(),
        };
        shell.write(&format!("p/{row}.jpg"), &bytes);
        list.extend(["p/", &row.to_string(), ".jpg\n"]);
    }
    shell.write("list.txt", list.as_bytes())
}

/// Complete lines.
fn lines_in(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).matches('\n').count()
}

/// Waits until the file has this many lines, or the process has ended.
fn wait_for_lines(path: &Path, lines: usize, child: &mut Child) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_mins(5) {
        if fs::read(path).is_ok_and(|bytes| lines_in(&bytes) >= lines) {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_writes_the_lines_of_one_that_is_not() {
    const SEED: u64 = 20_261_127;
    let (rows, add) = (160, ["check", "list.txt", "--add", "--resume", "--out"]);
    let whole = Shell::alone();
    let list = pictures(&whole, rows, SEED);
    assert_eq!(whole.run(&[&add[..], &["whole.ndjson"]].concat()).status, 2, "some are no pictures");
    let wanted = fs::read_to_string(whole.path("whole.ndjson")).unwrap();
    assert_eq!(wanted.lines().count(), usize::try_from(rows).unwrap());
    let killed = Shell::alone();
    pictures(&killed, rows, SEED);
    let out = killed.path("killed.ndjson");
    let (mut kills, mut taken_back) = (0, 0);
    for round in 0.. {
        let mut command = killed.command(&[&add[..], &[text(&out)]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let told = fs::read(&out).map_or(0, |bytes| lines_in(&bytes));
        let lines = told + 1 + usize::try_from(mix(round, SEED) % 12).unwrap();
        wait_for_lines(&out, lines, &mut child);
        let pause = Duration::from_micros(mix(round, SEED + 1) % 30_000);
        let start = Instant::now();
        while start.elapsed() < pause {
            std::hint::spin_loop();
        }
        let ended = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        if ended {
            break;
        }
        kills += 1;
        if round % 2 == 1 {
            // As if it had been killed before the lines of its last group were written.
            let home = rusqlite::Connection::open(killed.path("home/catalog.sqlite")).unwrap();
            let first = home.query_row("SELECT min(input_row) FROM check_lines", [], |row| row.get(0));
            let first: Option<usize> = first.unwrap();
            let text = fs::read_to_string(&out).unwrap();
            let kept = text.split_inclusive('\n').take(first.unwrap_or(usize::MAX));
            fs::write(&out, kept.collect::<String>()).unwrap();
            taken_back += usize::from(first.is_some());
        }
        // As a line that was being written.
        let mut torn = fs::OpenOptions::new().append(true).open(&out).unwrap();
        torn.write_all(b"{\"row\":7,\"id\":").unwrap();
    }
    println!("{kills} kills of seed {SEED}, {taken_back} with a group that was stored and not told of");
    assert!(kills > 2 && taken_back > 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
    let photos = |shell: &Shell| shell.run(&["stats", "--json"]).json()["photos"].clone();
    assert_eq!(photos(&killed), photos(&whole));
    // Done is done, and another list is not taken for the same one.
    assert_eq!(killed.run(&[&add[..], &[text(&out)]].concat()).status, 2);
    assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
    let mut other = fs::read_to_string(&list).unwrap();
    other.insert_str(0, "p/5.jpg\n");
    killed.write("list.txt", other.as_bytes());
    let ran = killed.run(&[&add[..], &[text(&out)]].concat());
    assert!(ran.status == 2 && ran.err.contains("name the same sources"), "{ran:?}");
    assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
}

#[test]
fn of_copies_that_processes_check_at_the_same_time_one_is_new() {
    let (shell, originals, processes) = (Shell::alone(), 6, 8);
    let mut children = Vec::new();
    for process in 0..processes {
        let names = (0..originals).map(|n| {
            // Each begins with another one.
            let of = (n + process) % originals;
            let name = format!("p{process}/{of}.jpg");
            shell.write(&name, &copy(of, 60 + 4 * u8::try_from(process).unwrap()));
            name
        });
        let list: String = names.map(|name| format!("{name}\n")).collect();
        shell.write(&format!("list{process}.txt"), list.as_bytes());
        let list = format!("list{process}.txt");
        let mut command = shell.command(&["check", "--add", "--columns", "added", &list]);
        children.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    }
    let mut new = 0;
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{out:?}");
        let out = String::from_utf8(out.stdout).unwrap();
        assert_eq!(out.lines().count(), usize::try_from(originals).unwrap());
        new += out.matches("true").count();
    }
    assert_eq!(new, usize::try_from(originals).unwrap());
    assert_eq!(shell.run(&["stats", "--json"]).json()["counts"]["photos"], originals);
}

/// A Parquet file with these columns of bytes, and the rows' numbers from `first` on.
fn parquet_of(path: &Path, schema: &str, pictures: &[Option<Vec<u8>>], first: i64) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, Arc::default()).unwrap();
    for group in pictures.chunks(3) {
        let mut row_group = writer.next_row_group().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> =
            group.iter().flatten().map(|bytes| ByteArray::from(bytes.clone())).collect();
        let levels: Vec<i16> = group.iter().map(|bytes| if bytes.is_some() { 2 } else { 0 }).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        let keys: Vec<i64> = (0..i64::try_from(group.len()).unwrap()).map(|n| first + n).collect();
        column.typed::<Int64Type>().write_batch(&keys, None, None).unwrap();
        column.close().unwrap();
        row_group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn pictures_in_a_parquet_file_are_checked_and_the_lines_are_one() {
    let shell = Shell::alone();
    let schema = "message m { OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; } REQUIRED INT64 article; }";
    let rows = [Some(png(1)), Some(copy(1, 80)), None, Some(png(2)), Some(png(1))];
    parquet_of(&shell.path("in.parquet"), schema, &rows, 100);
    let args = ["check", "--add", "--key", "article", "--out", "out.parquet", "in.parquet"];
    let ran = shell.run(&args);
    assert_eq!(ran.status, 2, "one row has no picture: {ran:?}");
    assert!(!shell.path("out.parquet.partial").exists());
    let reader = SerializedFileReader::new(fs::File::open(shell.path("out.parquet")).unwrap()).unwrap();
    let value = |field: &Field| match field {
        Field::Str(text) => text.as_str().into(),
        Field::Long(number) => (*number).into(),
        Field::Bool(truth) => (*truth).into(),
        Field::Null => Value::Null,
        other => other.to_string().into(),
    };
    let rows: Vec<Value> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect())
        .collect();
    assert_eq!(added(&rows), [true, false, false, true, false]);
    let outcomes = field(&rows, "outcome");
    assert_eq!([outcomes[0], outcomes[1], outcomes[2], outcomes[4]], ["new", "seen", "error", "seen"]);
    assert_eq!(field(&rows, "key"), ["100", "101", "102", "100", "101"]);
    assert_eq!(rows[1]["matched_photo_id"], 1);
    assert_eq!((rows[2]["code"].as_str(), &rows[0]["rule"]), (Some("row_empty_picture"), &Value::Null));
    let again = shell.run(&args);
    assert!(again.status == 2 && again.err.contains("there already"), "{again:?}");
}

#[test]
fn a_webdataset_shard_is_samples_with_keys() {
    let shell = Shell::alone();
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for (sample, bytes) in [("a/0001", png(1)), ("a/0002", copy(1, 80)), ("a/0003", png(2))] {
        put(&format!("{sample}.jpg"), &bytes);
        put(&format!("{sample}.json"), format!("{{\"sku\":\"S-{sample}\"}}").as_bytes());
        put(&format!("{sample}.cls"), b"7");
    }
    shell.write("shard.tar", &tar.into_inner().unwrap());
    let lines = shell.run(&["check", "--add", "shard.tar"]).lines();
    assert_eq!(field(&lines, "key"), ["a/0001", "a/0002", "a/0003"]);
    assert_eq!(added(&lines), [true, false, true]);
    let lines = shell.run(&["check", "--key", "sku", "shard.tar"]).lines();
    assert_eq!(field(&lines, "key"), ["S-a/0001", "S-a/0002", "S-a/0003"]);
    assert_eq!(field(&lines, "matched_label"), ["a/0001", "a/0001", "a/0003"]);
}

#[test]
fn asking_is_for_what_is_new_once_and_within_the_budget() {
    let shell = Shell::with_sandbox();
    let goods: Vec<PathBuf> = (0..3).map(|n| shell.good(n, &format!("{n}.jpg"))).collect();
    let list: String = [0, 0, 1, 2, 1].map(|n: usize| format!("{}\n", text(&goods[n]))).concat();
    shell.write("list.txt", list.as_bytes());
    let args = ["check", "--add", "--ask", "--daily-budget", "2", "list.txt"];
    let ran = shell.run(&args);
    assert_eq!(ran.status, 1, "{ran:?}");
    let lines = ran.lines();
    assert_eq!(added(&lines), [true, false, true, true, false]);
    let offers: Vec<bool> =
        lines.iter().map(|line| line["offers"].as_array().is_some_and(|o| !o.is_empty())).collect();
    assert_eq!(offers, [true, false, true, false, false]);
    assert_eq!(lines[3]["unanswered"], "budget_spent");
    let waiting = shell.run(&["quota", "--json"]).json()["waiting"].clone();
    assert_eq!(waiting["deferred"], 1, "{waiting}");
    // What was answered is a hit from then on, without a call.
    let hit = shell.run(&["search", "--offline", "--json", text(&goods[0])]).json();
    assert_eq!((hit["verdict"].as_str(), hit["upstream_calls"].as_u64()), (Some("hit"), Some(0)));
}

#[test]
fn what_can_neither_be_asked_about_nor_wait_is_asked_about_by_the_run_that_resumes() {
    let shell = Shell::with_sandbox();
    shell.good(0, "a.jpg");
    shell.good(1, "known.jpg");
    assert_eq!(shell.run(&["check", "--add", "known.jpg"]).status, 0);
    let home = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
    for table in ["spend", "queue"] {
        let refuse = format!(
            "CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'not now'); END"
        );
        home.execute_batch(&refuse).unwrap();
    }
    let args = ["check", "--add", "--ask", "--out", "told.ndjson", "--resume", "a.jpg"];
    let ran = shell.run(&args);
    assert!(ran.status == 2 && ran.err.contains("queue") && ran.err.contains("--resume"), "{ran:?}");
    assert_eq!(
        (
            fs::read_to_string(shell.path("told.ndjson")).unwrap().as_str(),
            shell.sandbox().counters().searches_ok
        ),
        ("", 0)
    );
    home.execute_batch("DROP TRIGGER no_spend; DROP TRIGGER no_queue").unwrap();
    assert_eq!(shell.run(&args).status, 0);
    let told: Value = serde_json::from_str(&fs::read_to_string(shell.path("told.ndjson")).unwrap()).unwrap();
    assert!(told["added"] == true && told["unanswered"].is_null(), "{told}");
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
}

#[test]
fn a_budget_that_is_spent_is_complained_of_once_and_exits_1() {
    let shell = Shell::with_sandbox();
    let goods: Vec<PathBuf> = (0..3).map(|n| shell.good(n, &format!("{n}.jpg"))).collect();
    let mut args = vec!["check", "--add", "--ask", "--daily-budget", "1"];
    args.extend(goods.iter().map(|good| text(good)));
    let ran = shell.run(&args);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(field(&ran.lines()[1..], "unanswered"), ["budget_spent"; 2]);
    assert_eq!(ran.err.matches("budget is spent").count(), 1, "{ran:?}");
    assert!(ran.err.contains("2 wait for `tongkuan drain`"), "{ran:?}");
}

#[test]
fn the_lines_of_an_earlier_run_are_judged_by_the_threshold_of_another_bound() {
    let shell = Shell::alone();
    for seed in 0..12 {
        shell.write(&format!("stored/{seed}.png"), &png(seed));
        // From nearly the same to nearly another one.
        let (mut mixed, other) = (crate::fakes::picture(seed), crate::fakes::picture(seed + 100));
        let width = 12 * (seed + 1);
        let strip = image::imageops::crop_imm(&other, 0, 0, width, 120).to_image();
        image::imageops::replace(&mut mixed, &strip, 0, 0);
        shell.write(&format!("asked/{seed}.png"), &crate::fakes::encoded(&mixed, image::ImageFormat::Png));
    }
    assert_eq!(shell.run(&["check", "--add", "stored"]).status, 0);
    let outcomes = |ran: Ran| {
        assert_eq!(ran.status, 0, "{ran:?}");
        let lines = ran.lines();
        lines
            .iter()
            .map(|l| (l["outcome"].to_string(), l["why"].to_string(), l["threshold"].clone()))
            .collect::<Vec<_>>()
    };
    let check = |bound| shell.run(&["check", "--max-false-hit", bound, "asked"]);
    let columns = |ran: Ran| ran.lines()[0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    fs::write(shell.path("before.ndjson"), check("0.01").out).unwrap();
    assert_eq!(columns(shell.run(&["check", "--rejudge", "before.ndjson"])), columns(check("0.01")));
    let mut known = 0;
    for (before, after) in [("0.01", "0.2"), ("0.2", "0.01"), ("0.01", "0.01")] {
        fs::write(shell.path("before.ndjson"), check(before).out).unwrap();
        let rejudged =
            outcomes(shell.run(&["check", "--max-false-hit", after, "--rejudge", "before.ndjson"]));
        let fresh = outcomes(check(after));
        assert_eq!(rejudged.len(), fresh.len());
        for (rejudged, fresh) in
            rejudged.iter().zip(&fresh).filter(|(rejudged, _)| rejudged.0 != "\"recheck\"")
        {
            assert_eq!(rejudged, fresh, "from {before} to {after}");
            known += 1;
        }
    }
    assert!(known > 20, "{known} of 36");
}

#[test]
fn lines_go_to_a_file_that_can_be_gone_on_with_and_each_column_once() {
    let shell = Shell::alone().with_home();
    let picture = shell.write("a.png", &png(1));
    let ran = shell.run(&["check", text(&picture), "--out", "/dev/null"]);
    assert!(ran.status == 2 && ran.err.contains("is no file that a run can go on with"), "{ran:?}");
    let ran = shell.run(&["check", text(&picture), "--columns", "row,row,outcome"]);
    assert!(ran.status == 2 && ran.err.contains("the column row is named twice"), "{ran:?}");
}

#[test]
fn keys_of_a_parquet_file_are_what_a_person_reads_there() {
    let shell = Shell::alone();
    let schema = |kind: &str| {
        format!(
            "message m {{ OPTIONAL group image {{ OPTIONAL BYTE_ARRAY bytes; }} REQUIRED INT64 article ({kind}); }}"
        )
    };
    parquet_of(&shell.path("unsigned.parquet"), &schema("UINT_64"), &[Some(png(1))], -2);
    let check = |file: &str| shell.run(&["check", "--add", "--json", "--key", "article", file]);
    assert_eq!(check("unsigned.parquet").json()["key"], "18446744073709551614");
    parquet_of(&shell.path("decimal.parquet"), &schema("DECIMAL(10, 2)"), &[Some(png(1))], 150);
    let refused = check("decimal.parquet");
    assert!(
        refused.status == 2 && refused.err.contains("article holds decimals, dates or times"),
        "{refused:?}"
    );
}
