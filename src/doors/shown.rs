//! What is stored, as JSON: the same from every door.

use serde_json::{Value, json};

use crate::catalog::CatalogError;
use crate::engine::{Engine, EngineError};
use crate::photo_id::PhotoId;

/// A photo, its answers, what was said of it and others, and where its own goods are shown; `None` when it is not there.
///
/// # Errors
/// [`CatalogError`] when the home fails.
pub fn photo(engine: &Engine, photo_id: PhotoId) -> Result<Option<Value>, CatalogError> {
    let catalog = engine.catalog();
    let Some(photo) = catalog.photo(photo_id)? else { return Ok(None) };
    let answers = catalog.answers(photo_id)?;
    let told = catalog.told_of(photo_id)?;
    let mut goods = Vec::new();
    for good in answers.iter().filter(|answer| answer.is_own()).flat_map(|answer| &answer.offers) {
        goods.push(json!({"offer_id": good.offer_id, "photo_ids": catalog.photos_of_own(&good.offer_id)?}));
    }
    Ok(Some(json!({"matched": photo, "answers": answers, "told": told, "own_goods": goods})))
}

/// What may still be spent, what was saved, and what waits.
///
/// # Errors
/// [`EngineError`] when the home fails.
pub fn quota(engine: &Engine) -> Result<Value, EngineError> {
    let reports = engine.quota()?;
    let (today, ever) = engine.saved_calls()?;
    let waiting = engine.catalog().queue_counts()?;
    Ok(json!({"upstreams": reports, "calls_saved": {"today": today, "ever": ever}, "waiting": waiting}))
}

/// How much is stored.
///
/// # Errors
/// [`CatalogError`] when the home fails.
pub fn stats(engine: &Engine) -> Result<Value, CatalogError> {
    let counts = engine.catalog().counts()?;
    let model = engine.catalog().stored_model()?.map(|model| model.to_string());
    Ok(json!({"home": engine.home(), "counts": counts, "model": model}))
}
