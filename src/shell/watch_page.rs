//! The list in pages, for servers that don't stream it: how long a page may be, and its items.

use std::ops::Range;

use crate::api::workflow::ListPage;

/// Most items asked for at once.
pub const MOST: u32 = 50;
/// What the first page asks for: even of the largest objects etcd takes, this many fit.
const FIRST: u32 = 5;

/// The number of items to ask for, so that a page has about `target` bytes.
#[derive(Debug)]
pub struct PageSize {
    target: usize,
    items: u32,
}

impl PageSize {
    pub const fn new(target: usize) -> Self {
        Self { target, items: FIRST }
    }

    pub const fn items(&self) -> u32 {
        self.items
    }

    /// A body over this is given up, in bytes; at one item there is nothing smaller to ask for.
    pub const fn limit(&self) -> usize {
        if self.items == 1 { 64 << 20 } else { self.target * 4 }
    }

    /// Learns from a page: halves when it was too large, at most doubles otherwise.
    pub fn learn(&mut self, items: usize, bytes: usize) {
        if bytes > self.target {
            self.too_large();
        } else if items >= self.items as usize {
            let fit = self.target / (bytes / items.max(1)).max(1);
            let fit = u32::try_from(fit).unwrap_or(MOST).max(1);
            self.items = fit.min(self.items * 2).clamp(1, MOST);
        }
    }

    pub fn too_large(&mut self) {
        self.items = (self.items / 2).max(1);
    }
}

/// A page, taken apart: where its items are in its text.
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Range<usize>>,
    pub next: String,
    pub resource_version: String,
}

impl Page {
    /// Finds the items without reading them; `None` when `text` is no page.
    pub fn of(text: &str) -> Option<Self> {
        let page = ListPage::from_json(text).ok()?;
        let base = text.as_ptr().addr();
        let range = |item: &str| {
            let start = item.as_ptr().addr() - base;
            start..start + item.len()
        };
        Some(Self {
            items: page.items.iter().map(|item| range(item.get())).collect(),
            next: page.next.into_owned(),
            resource_version: page.resource_version.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_slowly_and_shrink_at_once() {
        let mut size = PageSize::new(8 << 20);
        let mut asked = Vec::new();
        for _ in 0..5 {
            asked.push(size.items());
            size.learn(size.items() as usize, size.items() as usize * 6_000);
        }
        assert_eq!(asked, [5, 10, 20, 40, 50]);
        size.learn(50, 75 << 20);
        assert_eq!(size.items(), 25);
        size.learn(25, 25 * 1_500_000);
        size.learn(12, 12 * 1_500_000);
        assert_eq!(size.items(), 6);
        size.learn(6, 6 * 1_500_000);
        assert_eq!(size.items(), 3);
        size.learn(3, 3 * 1_500_000);
        assert_eq!(size.items(), 5, "what fits, not twice as many");
        size.learn(2, 12_000);
        assert_eq!(size.items(), 5, "a last page says nothing");
        for _ in 0..9 {
            size.too_large();
        }
        assert_eq!(size.items(), 1);
    }

    #[test]
    fn items_are_found_in_place() {
        let text = r#" {"items": [ {"a":1}, 17 ],"metadata":{"continue":"t","resourceVersion":"5"}}"#;
        let page = Page::of(text).unwrap();
        let items: Vec<_> = page.items.iter().map(|r| &text[r.clone()]).collect();
        assert_eq!((items, page.next.as_str(), page.resource_version.as_str()), (vec![r#"{"a":1}"#, "17"], "t", "5"));
        assert!(Page::of("[]").is_none());
    }
}
