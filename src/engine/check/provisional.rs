//! Numbers of pictures that are remembered for one run and not stored.

use crate::photo_id::PhotoId;

/// Of the picture that was remembered as the `number`th, from 0.
pub(super) fn provisional(number: usize) -> PhotoId {
    PhotoId(PhotoId::FIRST_PROVISIONAL + i64::try_from(number).unwrap_or(0))
}

pub(super) fn is_provisional(photo_id: PhotoId) -> bool {
    photo_id.0 >= PhotoId::FIRST_PROVISIONAL
}

/// What [`provisional`] was given.
pub(super) fn number_of(photo_id: PhotoId) -> usize {
    usize::try_from(photo_id.0 - PhotoId::FIRST_PROVISIONAL).unwrap_or(0)
}
