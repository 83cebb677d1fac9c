//! `product.image.upload`: a picture gets an id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::{Secret, UploadPicture, UpstreamError, UpstreamErrorKind, lenient};
use super::gateway::{Gateway, open};

const CALL: &str = "param2/1/com.alibaba.fenxiao.crossborder/product.image.upload";

/// The picture's id. An upload that succeeds without one, or with the id 0, is the gateway's way to say that it does
/// not take the picture.
pub(super) fn upload(
    gateway: &Gateway,
    token: &Secret,
    picture: &UploadPicture,
) -> Result<String, UpstreamError> {
    let param = json!({ "imageBase64": STANDARD.encode(&picture.bytes) }).to_string();
    let reply =
        gateway.call(CALL, Some(token), |ask| ask.picture_field("uploadImageParam", param, picture))?;
    let result = open(&reply)?;
    let image_id = lenient::text(&result["result"])
        .or_else(|| lenient::text(&result["result"]["imageId"]))
        .or_else(|| lenient::text(&result["imageId"]))
        .filter(|id| id != "0");
    image_id.ok_or_else(|| {
        let message = format!("the upload of {} bytes succeeded but gave no image id", picture.bytes.len());
        UpstreamError::new(gateway.profile(), UpstreamErrorKind::Image, "image_id_0", message)
    })
}
