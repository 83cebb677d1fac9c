#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use tongkuan::input::Input;

// Whatever a file holds, its rows come to an end, and each is a good or an error with a text.
fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let endings = ["ndjson", "json", "csv", "tsv", "txt", "zip", "tar", "gz", ""];
    let file = folder.path().join(format!("goods.{}", endings[usize::from(kind) % endings.len()]));
    fs::write(&file, bytes).expect("room for a file");
    match Input::open(&file) {
        Ok(mut input) => {
            // A row takes a byte at the least, and compression saves no more than this.
            for item in input.by_ref().take(1100 * (bytes.len() + 2)) {
                match item.row {
                    Ok(row) => assert!(!row.id.contains('\u{FDD0}') && !row.title.contains('\u{FDD0}')),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
            assert!(input.next().is_none());
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
});
