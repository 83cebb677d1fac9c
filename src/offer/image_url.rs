//! Which addresses name the same picture at Alibaba?

use url::Url;

/// Hosts on which the platform serves pictures (see `https://cbu01.alicdn.com`); any subdomain counts.
const DOMAINS: [&str; 4] = ["alicdn.com", "aliimg.com", "china.alibaba.com", "tbcdn.cn"];
const EXTENSIONS: [&str; 5] = [".jpg", ".jpeg", ".png", ".webp", ".gif"];
/// Thumbnails that are named and not measured.
const NAMED_SIZES: [&str; 3] = ["search", "summ", "sum"];

/// The address of the full-size picture that `address` shows, as the platform's own decorations are taken off:
/// query and fragment, a missing scheme, `http`, `&amp;`, sizes behind the name (`.jpg_350x350.jpg`, `.jpg_.webp`) and
/// within it (`.310x310.jpg`, `.310x310.80x80.jpg`, `.220x220xz.jpg`, `.search.jpg`). `None` for what is no picture of
/// goods: no web address, an icon (`-tps-WxH`), a vector drawing or a placeholder. An address elsewhere than at
/// Alibaba keeps its query, which may be what names the picture there.
///
/// A canonical address is no identity: sellers upload the same picture again and again. It saves fetching, nothing else.
#[must_use]
pub fn canonical_image_url(address: &str) -> Option<String> {
    let address = address.trim().replace("&amp;", "&");
    let address = if address.starts_with("//") { format!("https:{address}") } else { address };
    let mut url = Url::parse(&address).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_fragment(None);
    let host = url.host_str()?.to_owned();
    let is_alibaba = is_host_of(&host, &DOMAINS);
    let path = url.path().to_owned();
    let lower = path.to_ascii_lowercase();
    if lower.rsplit('.').next() == Some("svg") {
        return None;
    }
    if !is_alibaba {
        return Some(url.into());
    }
    if lower.contains("-tps-") || lower.contains("spaceball") || lower.ends_with("loading.gif") {
        return None;
    }
    url.set_query(None);
    if url.port().is_none() {
        // Cannot fail for a web address with a host.
        let _ = url.set_scheme("https");
    }
    url.set_path(&undecorated(&path));
    Some(url.into())
}

/// Whether `host` is one of `domains` or below one.
pub(crate) fn is_host_of(host: &str, domains: &[&str]) -> bool {
    let is_within = |front: &str| front.is_empty() || front.ends_with('.');
    domains.iter().any(|domain| host.strip_suffix(domain).is_some_and(is_within))
}

/// `name.310x310.jpg_250x250.jpg` as `name.jpg`.
fn undecorated(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let lower = name.to_ascii_lowercase();
    // What stands behind the first ending and an underscore is a size or another format.
    let behind = EXTENSIONS.iter().filter_map(|ending| {
        let at = lower.find(&format!("{ending}_"))?;
        Some(at + ending.len())
    });
    let name = &name[..behind.min().unwrap_or(name.len())];
    let Some((mut stem, extension)) = name.rsplit_once('.') else { return path.to_owned() };
    if EXTENSIONS.iter().any(|ending| ending[1..].eq_ignore_ascii_case(extension)) {
        while let Some((shorter, size)) = stem.rsplit_once('.')
            && !shorter.is_empty()
            && is_size(size)
        {
            stem = shorter;
        }
    }
    format!("{folder}/{stem}.{extension}")
}

/// `310x310`, `250x250xz`, `120x120Q90`, or a named one.
fn is_size(text: &str) -> bool {
    if NAMED_SIZES.iter().any(|named| named.eq_ignore_ascii_case(text)) {
        return true;
    }
    let Some((width, rest)) = text.split_once(['x', 'X']) else { return false };
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).count();
    let tail = &rest[digits(rest)..];
    let fine_tail = tail.is_empty()
        || tail.eq_ignore_ascii_case("xz")
        || tail.strip_prefix(['Q', 'q']).is_some_and(|quality| digits(quality) == quality.len());
    !width.is_empty() && digits(width) == width.len() && digits(rest) > 0 && fine_tail
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decorations_are_taken_off() {
        let plain = "https://cbu01.alicdn.com/img/ibank/O1CN01abc_!!2407317664-0-cib.jpg";
        for end in [
            "",
            "?__r__=1700000000000",
            "#top",
            "_.webp",
            "_350x350.jpg",
            "_250x250xz.jpg",
            "_Q75.jpg_.webp",
            "_60x60q90.jpg_.webp",
        ] {
            assert_eq!(canonical_image_url(&format!("{plain}{end}")).as_deref(), Some(plain), "{end}");
        }
        for middle in [".310x310", ".310x310.80x80", ".220x220xz", ".120x120Q90", ".search", ".summ", ".sum"]
        {
            let decorated = plain.replace("-cib.jpg", &format!("-cib{middle}.jpg"));
            assert_eq!(canonical_image_url(&decorated).as_deref(), Some(plain), "{middle}");
        }
        for other in
            [plain.replace("https:", ""), plain.replace("https", "http"), format!("  {plain}?a=1&amp;b=2 ")]
        {
            assert_eq!(canonical_image_url(&other).as_deref(), Some(plain), "{other}");
        }
        let old = "https://cbu01.alicdn.com/img/ibank/2020/063/830/13235038360_979836901.jpg";
        assert_eq!(canonical_image_url(old).as_deref(), Some(old), "the underscore is part of the name");
    }

    #[test]
    fn what_is_no_picture_of_goods_has_no_address() {
        for junk in [
            "",
            "a.jpg",
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
            "ftp://cbu01.alicdn.com/a.jpg",
            "https://user:pass@cbu01.alicdn.com/a.jpg",
            "https://gw.alicdn.com/imgextra/i1/O1-tps-40-40.png",
            "https://img.alicdn.com/a.svg",
            "https://g.alicdn.com/s.gif/spaceball.gif",
            "https://cbu01.alicdn.com/img/loading.gif",
        ] {
            assert_eq!(canonical_image_url(junk), None, "{junk}");
        }
    }

    #[test]
    fn elsewhere_the_query_names_the_picture() {
        for url in [
            "https://shop.example/image?id=7",
            "http://127.0.0.1:9/img/1/main.jpg",
            "https://notalicdn.com/a.jpg?b",
        ] {
            assert_eq!(canonical_image_url(url).as_deref(), Some(url));
        }
    }

    proptest! {
        #[test]
        fn a_canonical_address_is_its_own_canonical_address(
            name in "[A-Za-z0-9!_-]{1,20}", sizes in proptest::collection::vec("[0-9]{1,3}x[0-9]{1,3}(xz)?", 0..3),
            end in "(_[0-9]{1,3}x[0-9]{1,3}\\.jpg|_\\.webp|\\?[a-z]=[0-9]|)",
        ) {
            let sized = [std::slice::from_ref(&name), &sizes].concat().join(".");
            let url = format!("http://cbu01.alicdn.com/img/ibank/{sized}.jpg{end}");
            let once = canonical_image_url(&url).expect("a picture");
            prop_assert_eq!(canonical_image_url(&once), Some(once.clone()));
            prop_assert_eq!(once, format!("https://cbu01.alicdn.com/img/ibank/{name}.jpg"));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            if let Some(once) = canonical_image_url(&text) {
                prop_assert_eq!(canonical_image_url(&once), Some(once.clone()));
            }
        }
    }
}
