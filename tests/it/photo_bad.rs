use tongkuan::photo::{Photo, PhotoLimits};
#[test]
fn dump() {
    for e in std::fs::read_dir("tests/data/bad").unwrap() {
        let p = e.unwrap().path();
        let b = std::fs::read(&p).unwrap();
        let t = std::time::Instant::now();
        let r = Photo::decode(&b, &PhotoLimits::default());
        let s = match r {
            Ok(p) => format!("OK {p:?}"),
            Err(e) => format!("{} | {e}", e.code()),
        };
        println!(
            "{} | {} | {}ms | {s}",
            p.file_name().unwrap().to_str().unwrap(),
            b.len(),
            t.elapsed().as_millis()
        );
    }
}
