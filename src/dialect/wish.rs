//! What a search asks for beside the picture, whatever the dialect.

use image::RgbImage;
use image::imageops::crop_imm;

use crate::offer::Price;

/// What a search asks for beside the picture.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) category_id: Option<u64>,
    pub(crate) price_min: Option<Price>,
    pub(crate) price_max: Option<Price>,
    /// Words that must all stand in the title.
    pub(crate) keyword: Option<String>,
    pub(crate) order: Order,
    /// 1-based.
    pub(crate) page: usize,
    pub(crate) page_size: usize,
}

/// In which order goods come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Likeness,
    PriceUp,
    PriceDown,
}

impl Wish {
    pub(crate) fn page(page: usize, page_size: usize) -> Self {
        Self {
            category_id: None,
            price_min: None,
            price_max: None,
            keyword: None,
            order: Order::Likeness,
            page,
            page_size,
        }
    }
}

/// A part of a picture, as the gateway writes it: `x1,x2,y1,y2` in pixels, both x first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Region {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
        let [left, right, top, bottom] = numbers.try_into().ok()?;
        (left < right && top < bottom).then_some(Self { left, right, top, bottom })
    }

    /// That part of the picture; nothing when it lies outside.
    #[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "the gateway passes it on"))]
    pub(crate) fn of(self, picture: &RgbImage) -> Option<RgbImage> {
        let (right, bottom) = (self.right.min(picture.width()), self.bottom.min(picture.height()));
        let (width, height) = (right.checked_sub(self.left)?, bottom.checked_sub(self.top)?);
        (width > 0 && height > 0).then(|| crop_imm(picture, self.left, self.top, width, height).to_image())
    }

    /// Left, top, right and bottom.
    #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "the sandbox cuts it out"))]
    pub(crate) fn edges_px(self) -> [u32; 4] {
        [self.left, self.top, self.right, self.bottom]
    }
}
