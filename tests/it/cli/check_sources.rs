//! `tongkuan check`: shards and folders of them.

use serde_json::Value;

use super::Shell;
use super::input::tarred;
use crate::fakes::png;

fn of(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn a_damaged_description_of_a_sample_is_named() {
    let shell = Shell::alone().with_home();
    shell.write("s.tar", &tarred(&[("1.png", &png(1)), ("1.json", b"{")]));
    let ran = shell.run(&["check", "--key", "sku", "s.tar"]);
    assert_eq!(of(&ran.lines(), "code"), ["sample_json"]);
    assert!(ran.err.contains("1.json, in which the key stands, is no JSON object"), "{}", ran.err);
}
