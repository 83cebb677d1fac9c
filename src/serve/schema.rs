//! The answers as the OpenAPI document describes them. They are serialised where they belong (`engine`, `catalog`, `doors`);
//! `tests/it/serve` holds what is said here against what is sent.

#![allow(dead_code, reason = "read by the document alone")]
#![allow(clippy::struct_field_names, reason = "they are those of the JSON")]

use serde_json::Value;
use utoipa::{ToResponse, ToSchema};

use super::problem::Problem;

/// A picture's file: JPEG, PNG, WebP, GIF or BMP.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct PictureBytes(Vec<u8>);

/// Something was wrong: problem details (RFC 9457).
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(super) struct ProblemResponse(Problem);

/// A stored photo.
#[derive(ToSchema)]
pub(super) struct Matched {
    photo_id: i64,
    /// query, own or offer.
    kind: String,
    label: String,
}

/// Who sells an offer.
#[derive(ToSchema)]
pub(super) struct Supplier {
    company_name: Option<String>,
    credit_level: Option<String>,
    #[schema(required = false)]
    address: Option<String>,
    /// As a paying member of the platform.
    #[schema(required = false)]
    years: Option<u32>,
    /// 0 to 5, as a decimal number.
    #[schema(required = false)]
    service_score: Option<String>,
    /// In the platform's words: super_factory, powerful_merchants, tp_member.
    #[schema(required = false)]
    identities: Vec<String>,
}

/// One thing for sale.
#[derive(ToSchema)]
pub(super) struct Offer {
    offer_id: String,
    title: String,
    #[schema(required = false)]
    title_translated: Option<String>,
    /// In yuan, as a decimal number.
    price: Option<String>,
    /// Of one piece that is sent to the buyer's own customer.
    #[schema(required = false)]
    dropship_price: Option<String>,
    #[schema(required = false)]
    promotion_price: Option<String>,
    #[schema(required = false)]
    dropships: Option<bool>,
    min_order_quantity: Option<u32>,
    /// What a piece costs by how many are ordered, where a search tells that: from_quantity, and price in yuan.
    #[schema(required = false, value_type = Vec<Object>)]
    price_ladder: Vec<Value>,
    /// Pieces on sale, of all variants together.
    #[schema(required = false)]
    stock: Option<u64>,
    /// Of one packed piece.
    #[schema(required = false)]
    weight_grams: Option<u32>,
    /// Whether the seller pays the freight within China.
    #[schema(required = false)]
    is_postage_free: Option<bool>,
    #[schema(required = false)]
    category_ids: Vec<u64>,
    month_sold: Option<u32>,
    #[schema(required = false)]
    week_sold: Option<u32>,
    /// Buyers who come again, 0 to 100.
    #[schema(required = false)]
    repurchase_percent: Option<u8>,
    /// 0 to 5, as a decimal number.
    #[schema(required = false)]
    trade_score: Option<String>,
    /// In the platform's word: shipIn24Hours.
    #[schema(required = false)]
    shipping_promise: Option<String>,
    /// Whether it may be sent back within seven days without a reason.
    #[schema(required = false)]
    no_reason_return: Option<bool>,
    #[schema(required = false)]
    is_patented: Option<bool>,
    #[schema(required = false)]
    gives_invoice: Option<bool>,
    #[schema(required = false)]
    invoice_types: Vec<String>,
    similarity: Option<u8>,
    image_url: Option<String>,
    detail_url: Option<String>,
    supplier: Supplier,
    /// When price, sales and all the rest were last told.
    #[schema(required = false)]
    seen_at: Option<String>,
}

/// Why nothing was asked, or asked in vain.
#[derive(ToSchema)]
pub(super) struct Unanswered {
    /// A word for programs: budget_spent, key_may_not_spend and others.
    reason: String,
    message: String,
    retry_at: Option<String>,
    /// Whether the picture waits to be asked about.
    queued: bool,
}

/// The answer to a search, as `tongkuan search --json` prints it.
#[derive(ToSchema)]
pub(super) struct Answer {
    /// What the picture is called.
    id: String,
    /// hit, review or miss.
    verdict: String,
    /// How a hit was recognised: same_bytes, same_pixels, same_picture or remembered.
    rule: Option<String>,
    similarity: Option<u8>,
    score: Option<f32>,
    confidence: Option<f32>,
    /// What speaks against the matched picture of a review; other_variant among it.
    why: Option<String>,
    #[schema(required = false)]
    rivals: Vec<i64>,
    threshold: f32,
    max_false_hit: Option<f64>,
    /// local, upstream or none.
    source: String,
    fetched_at: Option<String>,
    stale: bool,
    /// Where the home's database is away and this is what the service has kept: the time since which what others stored, removed
    /// or told is not in it.
    #[schema(required = false)]
    as_of: Option<String>,
    matched: Option<Matched>,
    offers: Vec<Offer>,
    total_offers: Option<u64>,
    filtered_out: usize,
    /// Parts of the picture, left,top,right,bottom in its pixels, in which the upstream sees goods: each for a search of its
    /// own with `region`.
    #[schema(required = false)]
    suggested_regions: Vec<String>,
    /// What each upstream and each region brought, where several were asked.
    #[schema(required = false, value_type = Vec<Object>)]
    parts: Vec<Value>,
    /// Milliseconds of each stage; null for one that was not needed.
    #[schema(value_type = Object)]
    timings_ms: Value,
    /// Calls that counted against the quota.
    upstream_calls: u32,
    unanswered: Option<Unanswered>,
    /// Why an answer that was paid for is not stored.
    #[schema(required = false, value_type = Object)]
    unstored: Option<Value>,
    /// What the verdict rests on.
    #[schema(value_type = Object)]
    explain: Value,
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// What is said of a checked picture, as `tongkuan check` writes it.
#[derive(ToSchema)]
pub(super) struct CheckedLine {
    row: Option<u64>,
    id: Option<String>,
    key: Option<String>,
    /// Of `tongkuan check` alone: where the picture was named.
    #[schema(required = false)]
    source: Option<String>,
    /// seen, review, new or, in a stream, error.
    outcome: String,
    #[schema(required = false)]
    photo_id: Option<i64>,
    #[schema(required = false)]
    added: Option<bool>,
    #[schema(required = false)]
    matched_photo_id: Option<i64>,
    #[schema(required = false)]
    matched_row: Option<u64>,
    #[schema(required = false)]
    matched_label: Option<String>,
    #[schema(required = false)]
    matched_good: Option<String>,
    #[schema(required = false)]
    rule: Option<String>,
    #[schema(required = false)]
    score: Option<f64>,
    #[schema(required = false)]
    confidence: Option<f64>,
    #[schema(required = false)]
    why: Option<String>,
    #[schema(required = false)]
    rivals: Option<Vec<i64>>,
    #[schema(required = false)]
    threshold: Option<f64>,
    #[schema(required = false)]
    max_false_hit: Option<f64>,
    #[schema(required = false)]
    compared_with: Option<u64>,
    #[schema(required = false, value_type = Option<Object>)]
    contest: Option<Value>,
    #[schema(required = false)]
    error: Option<String>,
    #[schema(required = false)]
    code: Option<String>,
}

/// What became of an added picture.
#[derive(ToSchema)]
pub(super) struct Added {
    /// The good.
    id: String,
    photo_id: i64,
    is_new: bool,
    /// How many photos show the good by now.
    photos: u32,
}

/// A photo, its answers, and what was said of it.
#[derive(ToSchema)]
pub(super) struct PhotoShown {
    id: i64,
    matched: StoredPhoto,
    #[schema(value_type = Vec<Object>)]
    answers: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    told: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    own_goods: Vec<Value>,
}

/// A stored photo in full.
#[derive(ToSchema)]
pub(super) struct StoredPhoto {
    photo_id: i64,
    kind: String,
    label: String,
    width_px: u32,
    height_px: u32,
    format: String,
    added_at: String,
}

/// The photo that is gone.
#[derive(ToSchema)]
pub(super) struct Forgotten {
    id: i64,
    forgotten: i64,
}

/// A stored picture and how alike it is.
#[derive(ToSchema)]
pub(super) struct Similar {
    photo_id: i64,
    kind: String,
    label: String,
    added_at: String,
    similarity: u8,
    score: f32,
}

/// The nearest stored pictures, best first.
#[derive(ToSchema)]
pub(super) struct SimilarAnswer {
    id: String,
    similar: Vec<Similar>,
}

/// Offers whose titles hold all of the words.
#[derive(ToSchema)]
pub(super) struct FoundOffers {
    #[schema(value_type = Vec<Object>)]
    offers: Vec<Value>,
}

/// What was told of an offer, and when.
#[derive(ToSchema)]
pub(super) struct OfferHistory {
    id: String,
    history: Vec<OfferTerms>,
}

/// What was told of an offer from one time to another.
#[derive(ToSchema)]
struct OfferTerms {
    profile: String,
    since: String,
    until: String,
    /// Of one piece, in yuan.
    price: Option<String>,
    promotion_price: Option<String>,
    min_order_quantity: Option<u32>,
    month_sold: Option<u32>,
}

/// What is known about an offer.
#[derive(ToSchema)]
pub(super) struct OfferDetails {
    id: String,
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
    profile: Option<String>,
    source: String,
    fetched_at: Option<String>,
    stale: bool,
    upstream_calls: u32,
    unanswered: Option<Unanswered>,
    #[schema(required = false, value_type = Object)]
    unstored: Option<Value>,
    warnings: Vec<String>,
}

/// A picture of an offer that is stored.
#[derive(ToSchema)]
pub(super) struct StoredImage {
    /// As it was asked for.
    url: String,
    photo_id: i64,
}

/// Which of the addresses' pictures are stored.
#[derive(ToSchema)]
pub(super) struct ByAddress {
    pictures: Vec<StoredImage>,
}

/// A picture for which a stored photo stands out without being certain.
#[derive(ToSchema)]
pub(super) struct Review {
    review_id: i64,
    /// What the picture is called.
    label: String,
    matched: Matched,
    /// What the search said: similarity, score, confidence, threshold, max_false_hit, why, rivals; matched_good of a check.
    #[schema(value_type = Object)]
    facts: Value,
    found_at: String,
}

/// Reviews that wait for a person.
#[derive(ToSchema)]
pub(super) struct Reviews {
    /// All of them, beside those that are listed.
    open: u64,
    reviews: Vec<Review>,
}

/// The review that waits no more.
#[derive(ToSchema)]
pub(super) struct PutAside {
    review_id: i64,
    put_aside: bool,
}

/// What was remembered: of the pair, or that something was taken back.
#[derive(ToSchema)]
pub(super) struct Told {
    id: Option<i64>,
    #[schema(required = false)]
    photos: Vec<i64>,
    #[schema(required = false)]
    same: bool,
    #[schema(required = false)]
    stored: Vec<i64>,
    #[schema(required = false)]
    confidence: Option<f32>,
    /// Whether anything was taken back.
    #[schema(required = false)]
    forgotten: bool,
}

/// A pair, as `tongkuan verdicts export` writes it; the first line names the format.
#[derive(ToSchema)]
pub(super) struct VerdictLine {
    #[schema(required = false)]
    tongkuan_verdicts: u32,
    #[schema(required = false)]
    same: bool,
    #[schema(required = false, value_type = Object)]
    one: Value,
    #[schema(required = false, value_type = Object)]
    other: Value,
}

/// The account of every upstream, and what was saved.
#[derive(ToSchema)]
pub(super) struct Quota {
    id: Option<i64>,
    #[schema(value_type = Vec<Object>)]
    upstreams: Vec<Value>,
    #[schema(value_type = Object)]
    calls_saved: Value,
    #[schema(value_type = Object)]
    waiting: Value,
    /// Of the key that was sent: name, rights, daily_budget, calls_today.
    #[schema(value_type = Option<Object>)]
    key: Option<Value>,
}

/// How much is stored, and what the service is doing.
#[derive(ToSchema)]
pub(super) struct Stats {
    id: Option<i64>,
    home: String,
    #[schema(value_type = Object)]
    counts: Value,
    model: Option<String>,
    #[schema(value_type = Object)]
    service: Value,
    /// With `days`: day, photos, calls and saved of each.
    #[schema(required = false, value_type = Vec<Object>)]
    by_day: Vec<Value>,
}
