//! What a row of a search and the details of an offer name alike.

use serde_json::Value;

use super::super::lenient;
use crate::offer::Supplier;

/// The categories, the topmost first.
pub(super) fn categories(product: &Value) -> Vec<u64> {
    lenient::category_ids(["topCategoryId", "secondCategoryId", "thirdCategoryId"].map(|key| &product[key]))
}

pub(super) fn supplier(product: &Value) -> Supplier {
    let seller = &product["sellerDataInfo"];
    Supplier {
        company_name: lenient::text(&product["companyName"]),
        credit_level: lenient::text(&seller["tradeMedalLevel"]),
        address: lenient::text(&product["companyAddress"]),
        years: lenient::count(&seller["tpYear"]),
        service_score: lenient::score(&seller["compositeServiceScore"]),
        identities: lenient::texts(&product["sellerIdentities"]),
    }
}

/// Whether an invoice may be had, and which ones.
pub(super) fn invoice(product: &Value) -> (Option<bool>, Vec<String>) {
    let invoice = &product["invoiceInfo"];
    let types = lenient::texts(&invoice["invoiceTypes"]);
    let told = ["supportOnlineInvoice", "supportFastInvoice"].map(|key| lenient::flag(&invoice[key]));
    let gives_invoice = if told.contains(&Some(true)) || !types.is_empty() {
        Some(true)
    } else {
        told.contains(&Some(false)).then_some(false)
    };
    (gives_invoice, types)
}
