//! How does something come onto a picture? Shapes, inks, letters and posters, for the sandbox's goods and for the
//! edits of `tongkuan eval`.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels, bytes and design units change hands in every line of the drawing code, all far below 2^23"
)]

mod brush;
mod ink;
mod lettering;
mod outline;
pub(crate) mod poster;

pub(crate) use brush::{Brush, blur, everywhere};
pub(crate) use ink::{Ink, Tint};
pub(crate) use lettering::{width, write};
pub(crate) use outline::Outline;
