//! Stores every picture of a folder, then looks a picture up among them: the local engine alone, nothing is asked.
//!
//! `cargo run --example search_folder -- FOLDER PICTURE`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tongkuan::embed::{Embedder, runtime};
use tongkuan::engine::{Answer, Engine, Mode, Query, RuntimeChoice};
use tongkuan::offer::{Offer, OfferId};

/// Stores the pictures of `folder` in a home folder at `home`, and searches for the one at `picture`. Without `embedder` the
/// built-in model computes, on ONNX Runtime.
pub(crate) fn search_folder(
    home: &Path,
    folder: &Path,
    picture: &Path,
    embedder: Option<Arc<dyn Embedder>>,
) -> Result<Answer, Box<dyn Error>> {
    // Where ONNX Runtime is, and where pip puts it if there is none.
    let shared = runtime::shared_folder().unwrap_or_else(|| home.join("runtime"));
    let choice = RuntimeChoice::new(shared).may_fetch(true);
    let builder = Engine::builder(home).runtime(choice);
    let engine = match embedder {
        Some(embedder) => builder.embedder(embedder),
        None => builder,
    }
    .open()?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let good = Offer::new(OfferId::new(&*name)?, &*name);
        // What is no picture does not stop the others.
        match std::fs::read(&path)
            .map_err(Into::into)
            .and_then(|bytes| Ok(engine.add_own(&good, &bytes, &name)?))
        {
            Ok(added) => println!("{name}: photo {}", added.photo_id),
            Err::<_, Box<dyn Error>>(error) => eprintln!("{name}: {error}"),
        }
    }
    // Linked and saved, so that the next process starts at once.
    engine.settle_index()?;
    let bytes = std::fs::read(picture)?;
    Ok(engine.search(&Query::new(&bytes, "the picture in question").mode(Mode::LocalOnly))?)
}

#[allow(dead_code, reason = "the tests call what is above")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), Some(picture)) = (arguments.next(), arguments.next()) else {
        return Err("give a folder of pictures, and the picture to look for".into());
    };
    let home = std::env::temp_dir().join("tongkuan-example");
    let answer = search_folder(&home, Path::new(&folder), Path::new(&picture), None)?;
    println!("{:?}", answer.verdict);
    for offer in &answer.offers {
        println!("  {}", offer.title);
    }
    Ok(())
}
