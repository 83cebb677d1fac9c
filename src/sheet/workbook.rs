//! The sheet as a workbook, with pictures in its cells and cells to reckon with.

use std::collections::HashSet;

use rust_xlsxwriter::{
    Color, DocProperties, Format, FormatAlign, Formula, Image, Url, Workbook, Worksheet, XlsxError,
    row_col_to_cell,
};

use super::columns::{COLUMNS, Cell, cells, in_yuan, landed_cost, place_of};
use super::{Assumptions, Sheet, SheetError, SheetOffer, SheetRow};
use crate::offer::Sku;

/// Rows of a worksheet, the head included.
const MAX_ROWS: u32 = 1_048_576;
/// Links of a worksheet; more are written as text.
const MAX_LINKS: usize = 65_530;
/// Characters of a cell.
const MAX_CHARS: usize = 32_767;
const MAX_LINK_CHARS: usize = 2_000;
const PICTURE_ROW_PX: u32 = 100;
const TEXT_ROW_PX: u32 = 20;

impl From<XlsxError> for SheetError {
    fn from(error: XlsxError) -> Self {
        Self::Workbook { reason: error.to_string() }
    }
}

struct Formats {
    head: Format,
    text: Format,
    price: Format,
    cost: Format,
    share: Format,
    input: Format,
}

impl Formats {
    fn new() -> Self {
        let cell = || Format::new().set_align(FormatAlign::VerticalCenter);
        Self {
            head: cell().set_bold().set_background_color(Color::RGB(0x00EA_EEF3)).set_text_wrap(),
            text: cell().set_text_wrap(),
            price: cell().set_num_format("0.00##"),
            cost: cell().set_num_format("0.00"),
            share: cell().set_num_format("0.0%"),
            input: cell().set_num_format("0.00##").set_background_color(Color::RGB(0x00FF_F7D6)),
        }
    }
}

/// In memory: what writes it says on standard error where a disk is full.
pub(super) fn bytes(sheet: &Sheet) -> Result<Vec<u8>, SheetError> {
    let mut book = Workbook::new();
    book.set_properties(&DocProperties::new().set_title("Tongkuan"));
    let formats = Formats::new();
    write_offers(sheet, book.add_worksheet(), &formats)?;
    write_variants(sheet, &mut book, &formats)?;
    write_assumptions(sheet, &mut book, &formats)?;
    Ok(book.save_to_buffer()?)
}

fn write_offers(sheet: &Sheet, offers: &mut Worksheet, formats: &Formats) -> Result<(), SheetError> {
    offers.set_name(sheet.language.of("Offers", "商品"))?;
    for (place, column) in (0..).zip(&COLUMNS) {
        offers.write_string_with_format(0, place, column.head(sheet.language), &formats.head)?;
        offers.set_column_width(place, f64::from(column.width))?;
    }
    let (mut last, mut links) = (0, 0);
    let mut is_told = [false; COLUMNS.len()];
    for (number, row) in (1..).zip(sheet.rows()) {
        if number >= MAX_ROWS {
            return Err(SheetError::TooManyRows { max_rows: MAX_ROWS - 1 });
        }
        let cells = cells(&row, sheet.language);
        let has_picture = cells.iter().any(|cell| matches!(cell, Cell::Picture(_)));
        offers.set_row_height_pixels(number, if has_picture { PICTURE_ROW_PX } else { TEXT_ROW_PX })?;
        for ((place, cell), is_told) in (0..).zip(&cells).zip(&mut is_told) {
            *is_told |= *cell != Cell::Empty;
            write_cell(offers, (number, place), cell, &row, sheet.assumptions, formats, &mut links)?;
        }
        last = number;
    }
    // What nobody has told of any offer is there, and out of sight.
    for (place, _) in (0..).zip(is_told).filter(|(_, is_told)| !is_told) {
        offers.set_column_hidden(place)?;
    }
    // On paper: one page wide, with the head on each.
    offers.set_landscape().set_print_fit_to_pages(1, 0);
    offers.set_repeat_rows(0, 0)?;
    // The head, the key and the picture stay in sight.
    offers.set_freeze_panes(1, 2)?;
    let last_column = u16::try_from(COLUMNS.len() - 1).unwrap_or_default();
    offers.autofilter(0, 0, last, last_column)?;
    Ok(())
}

fn write_cell(
    offers: &mut Worksheet,
    (row, column): (u32, u16),
    cell: &Cell<'_>,
    of: &SheetRow<'_>,
    assumed: Assumptions,
    formats: &Formats,
    links: &mut usize,
) -> Result<(), SheetError> {
    match cell {
        Cell::Empty => {}
        Cell::Text(text) => {
            offers.write_string_with_format(row, column, cut(text), &formats.text)?;
        }
        Cell::Link(url) if *links < MAX_LINKS && url.len() <= MAX_LINK_CHARS => {
            *links += 1;
            offers.write_url(row, column, Url::new(url))?;
        }
        Cell::Link(url) => {
            offers.write_string_with_format(row, column, cut(url), &formats.text)?;
        }
        Cell::Number(number) => {
            offers.write_number_with_format(row, column, *number, &formats.text)?;
        }
        Cell::Price(yuan) => {
            offers.write_number_with_format(row, column, *yuan, &formats.price)?;
        }
        Cell::Share(share) => {
            offers.write_number_with_format(row, column, *share, &formats.share)?;
        }
        Cell::Picture(jpeg) => {
            let image = Image::new_from_buffer(jpeg)?;
            offers.insert_image_fit_to_cell(row, column, &image, true)?;
        }
        Cell::Blank => {
            offers.write_blank(row, column, &formats.input)?;
        }
        Cell::LandedCost => {
            let (price, weight) = (at(row, "unit_price"), at(row, "weight_kg"));
            let text = format!(
                "=({price}*(1+fee_share)+IF({weight}=\"\",weight_kg,{weight})*freight_per_kg)/yuan_per_unit"
            );
            let value = landed_cost(of, assumed).unwrap_or_default();
            let formula = Formula::new(text).set_result(value.to_string());
            offers.write_formula_with_format(row, column, formula, &formats.cost)?;
        }
        Cell::Margin => {
            let (sold, cost) = (at(row, "sell_price"), at(row, "landed_cost"));
            let formula =
                Formula::new(format!("=IF({sold}=\"\",\"\",({sold}-{cost})/{sold})")).set_result("");
            offers.write_formula_with_format(row, column, formula, &formats.share)?;
        }
    }
    Ok(())
}

/// What can be ordered of each offer of which that is known; each offer once.
fn write_variants(sheet: &Sheet, book: &mut Workbook, formats: &Formats) -> Result<(), SheetError> {
    let mut told = HashSet::new();
    let offers = sheet.pictures.iter().flat_map(|picture| &picture.offers);
    let mut variants: Vec<(&SheetOffer, &Sku)> = Vec::new();
    for offer in offers.filter(|offer| told.insert(&offer.offer.offer_id)) {
        variants.extend(offer.details.iter().flat_map(|details| &details.variants).map(|sku| (offer, sku)));
    }
    if variants.is_empty() {
        return Ok(());
    }
    let of = |english, chinese| sheet.language.of(english, chinese);
    let page = book.add_worksheet();
    page.set_name(of("Variants", "规格"))?;
    let heads = [
        (of("Offer", "商品编号"), 16),
        (of("Title", "标题"), 40),
        (of("Variant", "规格"), 24),
        (of("Picture", "图片"), 14),
        (of("Price (CNY)", "价格（元）"), 11),
        (of("Dropship price (CNY)", "代发价（元）"), 13),
        (of("Stock", "库存"), 10),
        (of("Weight (kg)", "重量（公斤）"), 10),
    ];
    for (place, (head, width)) in (0..).zip(heads) {
        page.write_string_with_format(0, place, head, &formats.head)?;
        page.set_column_width(place, f64::from(width))?;
    }
    for (row, (offer, sku)) in (1..).zip(&variants) {
        if row >= MAX_ROWS {
            return Err(SheetError::TooManyRows { max_rows: MAX_ROWS - 1 });
        }
        let picture = sku.image_url.as_ref().and_then(|address| sheet.variant_pictures.get(address));
        page.set_row_height_pixels(row, if picture.is_some() { PICTURE_ROW_PX } else { TEXT_ROW_PX })?;
        page.write_string_with_format(row, 0, offer.offer.offer_id.to_string(), &formats.text)?;
        page.write_string_with_format(row, 1, cut(&offer.offer.title), &formats.text)?;
        page.write_string_with_format(row, 2, cut(&sku.name()), &formats.text)?;
        if let Some(jpeg) = picture {
            page.insert_image_fit_to_cell(row, 3, &Image::new_from_buffer(jpeg)?, true)?;
        }
        for (place, price) in [(4, sku.price), (5, sku.dropship_price)] {
            if let Some(yuan) = price.and_then(in_yuan) {
                page.write_number_with_format(row, place, yuan, &formats.price)?;
            }
        }
        if let Some(pieces) = sku.stock {
            #[expect(clippy::cast_precision_loss, reason = "a spreadsheet has no other numbers")]
            page.write_number_with_format(row, 6, pieces as f64, &formats.text)?;
        }
        if let Some(grams) = sku.weight_grams {
            page.write_number_with_format(row, 7, f64::from(grams) / 1000.0, &formats.text)?;
        }
    }
    page.set_freeze_panes(1, 0)?;
    let last = u32::try_from(variants.len()).unwrap_or(MAX_ROWS - 1);
    page.autofilter(0, 0, last, 7)?;
    Ok(())
}

/// What follows from these stands in the other sheet under their names.
fn write_assumptions(sheet: &Sheet, book: &mut Workbook, formats: &Formats) -> Result<(), SheetError> {
    let (language, assumed) = (sheet.language, sheet.assumptions);
    let name = language.of("Assumptions", "假设");
    let lines = [
        (
            "yuan_per_unit",
            language.of("Yuan for one unit of your currency", "汇率（每单位本币合人民币）"),
            assumed.yuan_per_unit,
        ),
        (
            "freight_per_kg",
            language.of("Freight for a kilogram, yuan", "每公斤运费（元）"),
            assumed.freight_per_kg,
        ),
        ("weight_kg", language.of("Weight of a piece, kg", "单件重量（公斤）"), assumed.weight_kg),
        ("fee_share", language.of("Fee, share of the price", "服务费（占货价比例）"), assumed.fee_share),
    ];
    let page = book.add_worksheet();
    page.set_name(name)?;
    page.set_column_width(0, 38.0)?;
    for (row, (_, text, value)) in (0..).zip(&lines) {
        page.write_string_with_format(row, 0, *text, &formats.text)?;
        page.write_number_with_format(row, 1, *value, &formats.input)?;
    }
    for (row, (name_of_cell, _, _)) in (1..).zip(&lines) {
        book.define_name(*name_of_cell, &format!("='{name}'!$B${row}"))?;
    }
    Ok(())
}

/// The name of a cell in a row, numbered from 0.
fn at(row: u32, column: &str) -> String {
    row_col_to_cell(row, place_of(column))
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_CHARS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::super::tests::sheet;
    use super::*;

    #[test]
    fn a_workbook_holds_rows_formulas_and_pictures() {
        let mut sheet = sheet();
        let mut jpeg = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 80);
        encoder.encode_image(&image::RgbImage::new(8, 8)).unwrap();
        sheet.pictures[0].thumbnail = Some(jpeg);
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes(&sheet).unwrap())).unwrap();
        let mut part = |name: &str| {
            let mut text = String::new();
            archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let offers = part("xl/worksheets/sheet1.xml");
        assert_eq!(offers.matches("<row ").count(), 4);
        let weight = at(1, "weight_kg");
        let cost =
            format!("(N2*(1+fee_share)+IF({weight}=\"\",weight_kg,{weight})*freight_per_kg)/yuan_per_unit");
        assert!(offers.contains(&cost), "{offers}");
        assert!(offers.contains("<autoFilter ref=\"A1:AS4\""), "{offers}");
        for (column, is_hidden) in
            [("price", false), ("sell_price", false), ("week_sold", true), ("ships", true)]
        {
            assert_eq!(hides(&offers, place_of(column) + 1), is_hidden, "{column}: {offers}");
        }
        assert!(part("xl/workbook.xml").contains("'Assumptions'!$B$1"));
        assert!(part("xl/sharedStrings.xml").contains("=1+1"), "a title is text");
        assert!(archive.by_name("xl/media/image1.jpeg").is_ok());
    }

    /// Whether a worksheet hides a column, numbered from 1.
    fn hides(sheet: &str, column: u16) -> bool {
        sheet.split("<col ").skip(1).any(|ranges| {
            let value = |name: &str| {
                let rest = ranges.split_once(&format!("{name}=\""))?.1;
                rest.split_once('"')?.0.parse::<u16>().ok()
            };
            let range = ranges.split("/>").next().unwrap_or_default();
            range.contains("hidden=\"1\"")
                && value("min").zip(value("max")).is_some_and(|(min, max)| (min..=max).contains(&column))
        })
    }

    #[test]
    fn formulas_find_columns_of_two_letters() {
        assert!(COLUMNS.len() > 26);
        let cells = ["price", "landed_cost", "sell_price"].map(|column| at(4, column));
        assert_eq!(cells, ["M5", "AQ5", "AR5"]);
    }
}
