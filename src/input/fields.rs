//! Which field is which? Rows of any source as names with texts, and the names that people give their columns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::RowProblem;
use super::text::DAMAGE;

/// The names of one field, the one that counts most first. Compared as [`normal`] writes them.
pub(super) type Names = &'static [&'static str];

pub(super) const PICTURE: Names = &[
    "path",
    "file",
    "filename",
    "filepath",
    "localpath",
    "image",
    "img",
    "picture",
    "pic",
    "photo",
    "imagepath",
    "imagefile",
    "imagename",
    "imgpath",
    "picturepath",
    "picturefile",
    "photopath",
    "photofile",
    "mainimage",
    "mainpicture",
    "图片",
    "主图",
    "图片路径",
    "图片文件",
    "图片名称",
    "图片名",
    "文件",
    "文件名",
    "文件路径",
    "路径",
    "商品图片",
    "产品图片",
    "商品主图",
    "产品主图",
    "图像",
    "照片",
    "图",
    "图片地址",
    "图片链接",
    "图片网址",
    "图片url",
    "圖片",
    "主圖",
    "圖片路徑",
    "檔案",
    "檔名",
    "圖片網址",
    "圖片連結",
    "主图地址",
    "主图链接",
    "主图url",
    "商品图片链接",
    "商品图片地址",
    "imageurl",
    "imagelink",
    "imgurl",
    "picurl",
    "pictureurl",
    "photourl",
    "mainimageurl",
    "imagesrc",
    "src",
    "url",
    "网址",
];
pub(super) const ID: Names = &[
    "id",
    "sku",
    "offerid",
    "itemid",
    "productid",
    "goodsid",
    "goodid",
    "skuid",
    "code",
    "itemcode",
    "itemno",
    "productcode",
    "articleno",
    "编号",
    "货号",
    "商品编号",
    "产品编号",
    "商品id",
    "产品id",
    "商品编码",
    "产品编码",
    "商家编码",
    "货品编号",
    "商品货号",
    "产品货号",
    "sku编号",
    "sku编码",
    "款号",
    "编码",
    "編號",
    "貨號",
    "商品編號",
    "產品編號",
];
pub(super) const TITLE: Names = &[
    "title",
    "name",
    "productname",
    "producttitle",
    "itemname",
    "goodsname",
    "subject",
    "标题",
    "名称",
    "商品名称",
    "产品名称",
    "商品标题",
    "产品标题",
    "商品名",
    "产品名",
    "品名",
    "货品名称",
    "货品标题",
    "標題",
    "名稱",
    "商品名稱",
    "產品名稱",
];
pub(super) const PRICE: Names = &[
    "price",
    "unitprice",
    "priceyuan",
    "pricecny",
    "pricermb",
    "cost",
    "价格",
    "单价",
    "售价",
    "价钱",
    "销售价",
    "零售价",
    "批发价",
    "进价",
    "进货价",
    "采购价",
    "成本价",
    "成本",
    "商品价格",
    "产品价格",
    "價格",
    "單價",
    "售價",
];
pub(super) const CATEGORIES: Names =
    &["categoryids", "categoryid", "类目id", "分类id", "类目编号", "分类编号"];
pub(super) const DETAIL_URL: Names = &[
    "detailurl",
    "detaillink",
    "link",
    "producturl",
    "productlink",
    "offerurl",
    "itemurl",
    "商品链接",
    "产品链接",
    "详情链接",
    "商品网址",
    "商品地址",
    "链接",
    "详情页",
    "url",
    "网址",
];

/// A field's name as it is compared: without case, separators and a unit of yuan in brackets.
pub(super) fn normal(name: &str) -> String {
    let lower = name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').to_lowercase();
    let bare = lower.trim_end_matches([')', '）']);
    let name = match bare.rsplit_once(['(', '（']) {
        Some((front, "元" | "人民币" | "cny" | "rmb" | "yuan" | "¥" | "￥")) => front,
        _ => &lower,
    };
    name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '*' | '.')).collect()
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// As it stands in JSON, with every digit.
    Number(String),
    Empty,
    /// A list, an object or a truth value, as JSON.
    Other(String),
}

/// A row: fields by their normal names.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    /// By the normal name: the name as it was written, and the value.
    by_name: BTreeMap<String, (String, Value)>,
}

impl Fields {
    pub(super) fn insert(&mut self, name: &str, value: Value) {
        self.by_name.insert(normal(name), (name.trim().to_owned(), value));
    }

    /// As [`Fields::insert`], of the value that says where the picture is; errors call it `name`.
    #[cfg(feature = "parquet")]
    pub(super) fn insert_picture(&mut self, name: &str, value: Value) {
        self.by_name.insert(PICTURE[0].to_owned(), (name.trim().to_owned(), value));
    }

    /// Has the column `name`, and no other, say where the picture is.
    pub(super) fn picture_is(&mut self, name: &str) {
        let value = self.by_name.remove(&normal(name));
        for other in PICTURE {
            self.by_name.remove(*other);
        }
        if let Some((written, value)) = value {
            self.by_name.insert(PICTURE[0].to_owned(), (written, value));
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(&normal(name))
    }

    /// The text of the column `name`, numbers as they are written; `None` where it is empty or not there. It stays what
    /// else it may be.
    pub(super) fn column(&self, name: &str) -> Option<String> {
        match &self.by_name.get(&normal(name))?.1 {
            Value::Text(text) | Value::Number(text) | Value::Other(text) => {
                Some(text.clone()).filter(|text| !text.is_empty())
            }
            Value::Empty => None,
        }
    }

    /// Of an object, or a text that is nothing but the picture's path.
    pub(super) fn from_json(text: &str) -> Result<Self, RowProblem> {
        if text.contains(DAMAGE) {
            return Err(RowProblem::Damaged);
        }
        let wrong = |error: serde_json::Error| RowProblem::Json { problem: without_place(&error) };
        let mut fields = Self::default();
        if text.starts_with('"') {
            fields.insert(PICTURE[0], Value::Text(serde_json::from_str(text).map_err(wrong)?));
            return Ok(fields);
        }
        let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(wrong)?;
        for (name, raw) in object {
            let raw = raw.get();
            let value = match raw.as_bytes().first() {
                Some(b'"') => Value::Text(serde_json::from_str(raw).map_err(wrong)?),
                Some(b'n') => Value::Empty,
                Some(b'-' | b'0'..=b'9') => Value::Number(raw.to_owned()),
                _ => Value::Other(raw.to_owned()),
            };
            fields.insert(&name, value);
        }
        Ok(fields)
    }

    /// The first of `names` that is there and not empty, else the first that is there; with the name as it was written.
    pub(super) fn take(&mut self, names: Names) -> Option<(String, Value)> {
        let is_there = |name: &&&str| self.by_name.contains_key(**name);
        let is_full = |name: &&&str| {
            let value = self.by_name.get(**name);
            value.is_some_and(|(_, value)| match value {
                Value::Empty => false,
                Value::Text(text) => !text.trim().is_empty(),
                _ => true,
            })
        };
        let found = names.iter().find(is_full).or_else(|| names.iter().find(is_there))?;
        self.by_name.remove(*found)
    }

    /// A text that may be missing. Numbers are taken as they are written.
    pub(super) fn text(&mut self, names: Names) -> Result<Option<(String, String)>, RowProblem> {
        match self.take(names) {
            None | Some((_, Value::Empty)) => Ok(None),
            Some((field, Value::Text(text) | Value::Number(text))) => Ok(Some((field, text))),
            Some((field, Value::Other(json))) => {
                let found = json.chars().take(40).collect();
                Err(RowProblem::Field { field, found, wanted: "a text" })
            }
        }
    }

    /// The names of what is left, as they were written.
    pub(super) fn rest(&self) -> impl Iterator<Item = &str> {
        self.by_name.values().map(|(name, _)| name.as_str())
    }

    pub(super) fn written_names(&self) -> String {
        let names: Vec<&str> = self.rest().take(20).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// The fields of `known` as JSON under the name before theirs, numbers as texts; and how the others are named.
    pub(super) fn into_json(mut self, known: &[(&str, Names)]) -> (serde_json::Value, BTreeSet<String>) {
        let mut json = serde_json::Map::new();
        for (key, names) in known {
            let value = match self.take(names) {
                None | Some((_, Value::Empty)) => continue,
                Some((_, Value::Text(text) | Value::Number(text))) => text.into(),
                Some((_, Value::Other(other))) => serde_json::from_str(&other).unwrap_or_default(),
            };
            json.insert((*key).to_owned(), value);
        }
        let ignored = self.rest().map(ToOwned::to_owned).collect();
        (json.into(), ignored)
    }
}

/// The text of `error` without its place, which is one within the row.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some(at) = text.rfind(" at line ") else { return text };
    format!("{} (column {})", &text[..at], error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_separators_and_yuan() {
        for (written, name) in [
            ("Image_URL", "imageurl"),
            (" Offer ID ", "offerid"),
            ("价格（元）", "价格"),
            ("价格(元)", "价格"),
            ("Price (CNY)", "price"),
            ("Price (USD)", "price(usd)"),
            ("*图片", "图片"),
        ] {
            assert_eq!(normal(written), name, "{written}");
        }
        for names in [PICTURE, ID, TITLE, PRICE, CATEGORIES, DETAIL_URL] {
            assert!(names.iter().all(|name| normal(name) == *name), "{names:?}");
        }
    }

    #[test]
    fn a_number_keeps_every_digit() {
        let mut fields = Fields::from_json(r#"{"id":123456789012345678901234567890,"price":59.90}"#).unwrap();
        assert_eq!(fields.text(ID).unwrap().unwrap().1, "123456789012345678901234567890");
        assert_eq!(fields.text(PRICE).unwrap().unwrap().1, "59.90");
    }

    #[test]
    fn the_first_name_that_is_filled_counts() {
        let mut fields = Fields::from_json(r#"{"path":"","url":"b.jpg","sku":"S","id":"I"}"#).unwrap();
        assert_eq!(fields.text(PICTURE).unwrap(), Some(("url".to_owned(), "b.jpg".to_owned())));
        assert_eq!(fields.text(ID).unwrap(), Some(("id".to_owned(), "I".to_owned())));
        assert_eq!(fields.rest().collect::<Vec<_>>(), ["path", "sku"]);
    }
}
