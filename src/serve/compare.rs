//! `POST /v1/compare/{photo_id}`: what agrees and what differs where a stored photo lies over a picture, for people to see.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::input::{Given, InPath, read_whole};
use super::problem::Failure;
use super::state::App;
use crate::difference::pair_marks;
use crate::engine::{Engine, Geometry};
use crate::photo::encode_jpeg;
use crate::photo_id::PhotoId;
use crate::verify::Placement;

/// The longer side of the picture as it is sent back, in pixels.
const PICTURE_PX: u32 = 640;
/// The shortest and longest long side at which marks are drawn.
const MARKED_PX: (f32, f32) = (64.0, 480.0);
const QUALITY: u8 = 82;

/// A picture to be shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    width_px: u32,
    height_px: u32,
    /// A JPEG in base64.
    jpeg: String,
}

/// PNGs in base64, to be laid over the pictures: red where they differ, hatched what only one of the two shows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MarksShown {
    picture: String,
    stored: String,
}

/// A picture and a stored photo side by side.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ComparisonJson {
    photo_id: PhotoIdJson,
    picture: Shown,
    /// What is kept of the stored photo: at most 136 x 136 pixels. Null where it was stored without a sketch.
    stored: Option<Shown>,
    /// How the stored photo lies in the picture; null where it cannot be laid over it.
    #[schema(value_type = Option<Object>)]
    geometry: Option<Geometry>,
    /// The share of what is in sight, 0 to 1, that has the stored photo's colour.
    colour_agreement: Option<f32>,
    /// The corners of the stored photo in the picture, from the upper left one on: shares of its width and height, maybe
    /// outside of 0 to 1.
    outline: Option<[[f32; 2]; 4]>,
    /// The share of what both show, 0 to 1, that is marked.
    differs: Option<f32>,
    /// Null where nearly all would be marked.
    marks: Option<MarksShown>,
}

/// A photo's number.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = i64)]
pub(super) struct PhotoIdJson(PhotoId);

fn scaled(picture: &RgbImage, long_px: u32) -> RgbImage {
    let long = picture.width().max(picture.height());
    if long <= long_px {
        return picture.clone();
    }
    let side =
        |px: u32| u32::try_from(u64::from(px) * u64::from(long_px) / u64::from(long)).unwrap_or(1).max(1);
    resize(picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}

fn shown(picture: &RgbImage) -> Shown {
    // It is small enough.
    let jpeg = encode_jpeg(picture, QUALITY).unwrap_or_default();
    Shown { width_px: picture.width(), height_px: picture.height(), jpeg: STANDARD.encode(jpeg) }
}

/// The corners of `stored` in `picture`.
#[expect(clippy::cast_precision_loss, reason = "sides of pictures")]
fn outline(picture: &RgbImage, stored: &RgbImage, way: &Placement) -> [[f32; 2]; 4] {
    let sides = |picture: &RgbImage| (picture.width() as f32, picture.height() as f32);
    let ((w, h), (stored_w, stored_h)) = (sides(picture), sides(stored));
    let (long, stored_long) = (w.max(h), stored_w.max(stored_h));
    let (right, bottom) = (stored_w / stored_long, stored_h / stored_long);
    [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)].map(|(x, y)| {
        let (u, v) = way.at(x, y);
        [u * long / w, v * long / h]
    })
}

/// The picture as coarse as the stored one is kept: finer lines are no difference.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sides of pictures; a share without a number is 0"
)]
fn as_coarse(picture: &RgbImage, stored: &RgbImage, geometry: &Geometry) -> RgbImage {
    let long_px = stored.width().max(stored.height()) as f32 / geometry.scale;
    scaled(picture, long_px.clamp(MARKED_PX.0, MARKED_PX.1) as u32)
}

/// What is to be seen of a picture and a stored photo.
pub(super) fn comparison(
    engine: &Engine,
    bytes: &[u8],
    photo_id: PhotoId,
) -> Result<ComparisonJson, Failure> {
    let found = engine.compare(bytes, photo_id)?;
    let laid = found.stored.as_ref().zip(found.laid.as_ref());
    let marks = laid.and_then(|(stored, laid)| {
        pair_marks(stored, &as_coarse(&found.picture, stored, &laid.geometry), &laid.placement)
    });
    Ok(ComparisonJson {
        photo_id: PhotoIdJson(photo_id),
        picture: shown(&scaled(&found.picture, PICTURE_PX)),
        stored: found.stored.as_ref().map(shown),
        geometry: found.laid.map(|laid| laid.geometry),
        colour_agreement: found.laid.map(|laid| laid.colour_agreement),
        outline: laid.map(|(stored, laid)| outline(&found.picture, stored, &laid.placement)),
        differs: marks.as_ref().map(|marks| marks.share),
        marks: marks.map(|marks| {
            let [stored, picture] = marks.overlays.map(|png| STANDARD.encode(png));
            MarksShown { picture, stored }
        }),
    })
}

/// What agrees and what differs, where a stored photo lies over this picture
///
/// For people to see; it says nothing of whether they are the same. Never asks an upstream.
#[utoipa::path(
    post, path = "/v1/compare/{photo_id}", tag = "pictures",
    params(("photo_id" = i64, Path, description = "As searches name it in `matched`")),
    request_body(description = "The picture", content(
        (super::schema::PictureBytes = "application/octet-stream"), (super::schema::PictureBytes = "image/jpeg"),
        (super::input::PictureForm = "multipart/form-data"), (super::input::PictureJson = "application/json"),
    )),
    responses((status = 200, body = ComparisonJson), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn compare(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(photo_id): InPath<i64>,
    request: Request,
) -> Result<axum::Json<ComparisonJson>, Failure> {
    caller.may_read()?;
    app.local.admit()?;
    let (headers, body) = read_whole(&app, request).await?;
    let deadline = app.deadline();
    let picture = Given::read(&headers, &body.bytes).await?.open(&app, deadline, Some(body.share)).await?;
    let compared =
        app.on_engine(move |engine| comparison(engine, &picture.bytes, PhotoId(photo_id))).await??;
    Ok(axum::Json(compared))
}
