//! What does a code mean, and what is to be done? As `docs/errors.md` says it.

/// A line of the list.
pub(super) struct Row {
    pub(super) codes: Vec<&'static str>,
    pub(super) what: &'static str,
    pub(super) remedy: &'static str,
}

pub(super) fn rows() -> impl Iterator<Item = Row> {
    include_str!("../../docs/errors.md").lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.trim_end_matches(" |").splitn(3, " | ");
        let codes = cells.next()?.split(", ").map(|code| code.trim_matches('`')).collect();
        Some(Row { codes, what: cells.next()?, remedy: cells.next().unwrap_or_default() })
    })
}

/// What is to be done about a code.
#[cfg(feature = "mcp")]
pub(super) fn remedy(code: &str) -> Option<&'static str> {
    rows().find(|row| row.codes.contains(&code)).map(|row| row.remedy)
}
