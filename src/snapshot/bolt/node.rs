//! A page of a tree, taken apart: its elements lie within it, one after the other.
//!
//! bbolt writes the elements' data in their order without gaps (`WriteInodeToPage`), so other positions are damage.

use super::{Database, Place, ReadAt, fault, u16_at, u32_at, u64_at};
use crate::error::Result;

pub(super) const HEADER: u64 = 16;
const ELEMENT: u64 = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const BUCKET: u32 = 1;

/// bbolt's `MaxKeySize`.
const MOST_KEY: u32 = 32768;

/// Most bytes of a branch page: bbolt splits it where it can, and four of the longest keys stay together.
const MOST_BRANCH: u64 = 256 * 1024;

/// Bytes that are read at once where a page is longer.
const WINDOW: u64 = 4096;

/// A stretch of the file, of which a window is in memory.
pub(super) struct Span<'a, R: ?Sized> {
    reader: &'a R,
    /// The page that it is of, for messages, and the size of pages.
    page: u64,
    page_size: u64,
    start: u64,
    length: u64,
    held_from: u64,
    held: Vec<u8>,
}

impl<'a, R: ReadAt + ?Sized> Span<'a, R> {
    fn new(database: &Database<'a, R>, page: u64, start: u64, length: u64) -> Self {
        let (reader, page_size) = (database.reader, database.meta.page_size);
        Self { reader, page, page_size, start, length, held_from: 0, held: Vec::new() }
    }

    /// `length` bytes at `at`; more are read where they are likely to be asked for next.
    fn get(&mut self, at: u64, length: u64) -> Result<&[u8]> {
        let end = at.checked_add(length).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| fault(self.page, self.page_size, "an element lies beyond the end of its page"))?;
        if at < self.held_from || end > self.held_from + self.held.len() as u64 {
            let window = if at == 0 { self.page_size } else { WINDOW };
            let length = length.max(window).min(self.length - at);
            // what callers ask for is bounded; see MOST_BRANCH, MOST_KEY and Value::get
            self.held.resize(usize::try_from(length).unwrap_or_default(), 0);
            self.held_from = at;
            self.reader.read_at(self.start + at, &mut self.held)?;
        }
        let from = usize::try_from(at - self.held_from).unwrap_or_default();
        Ok(&self.held[from..from + usize::try_from(length).unwrap_or_default()])
    }

    pub(super) fn fault(&self, what: impl std::fmt::Display) -> crate::error::Error {
        fault(self.page, self.page_size, what)
    }
}

/// One element of a node: its key, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    /// Of the key, within the page.
    at: u64,
    key: u64,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A page below.
    Child(u64),
    /// A value of so many bytes, which may be a bucket.
    Value { bucket: bool, length: u64 },
}

/// A branch or leaf page.
pub(super) struct Node<'a, R: ?Sized> {
    pub span: Span<'a, R>,
    pub leaf: bool,
    /// Pages that it takes beyond the first.
    pub overflow: u64,
    count: u64,
    table: Vec<u8>,
}

impl<'a, R: ReadAt + ?Sized> Node<'a, R> {
    pub(super) fn read(database: &Database<'a, R>, place: Place) -> Result<Self> {
        match place {
            Place::Page(page) => Self::at_page(database, page),
            Place::Inline { page, at, length } => {
                let node = Self::parse(Span::new(database, page, at, length), None)?;
                if node.leaf && node.overflow == 0 {
                    return Ok(node);
                }
                Err(node.span.fault("a bucket within a value is not one leaf"))
            }
        }
    }

    fn at_page(database: &Database<'a, R>, page: u64) -> Result<Self> {
        let (page_size, pages) = (database.meta.page_size, database.meta.pages);
        if !(2..pages).contains(&page) {
            return Err(fault(page, page_size, format!("refers to it, but there are only {pages} pages")));
        }
        Self::parse(Span::new(database, page, page * page_size, page_size), Some((page, pages)))
    }

    /// Reads the header and the table of elements. A page of its own knows its number, and may go on in the next ones.
    fn parse(mut span: Span<'a, R>, own: Option<(u64, u64)>) -> Result<Self> {
        let header = span.get(0, HEADER)?;
        let (id, flags, count, overflow) =
            (u64_at(header, 0), u16_at(header, 8), u16_at(header, 10), u64::from(u32_at(header, 12)));
        if own.is_some_and(|(page, _)| page != id) {
            return Err(span.fault(format!("says that it is page {id}")));
        }
        let leaf = match flags {
            LEAF => true,
            BRANCH => false,
            _ => return Err(span.fault(format!("neither a branch nor a leaf (flags {flags:#x})"))),
        };
        if let Some((page, pages)) = own {
            if overflow >= pages - page {
                return Err(span.fault(format!("goes on for {overflow} pages, beyond the end of the file")));
            }
            span.length = (overflow + 1) * span.page_size;
        }
        if !leaf && (span.length > MOST_BRANCH || count == 0) {
            return Err(span.fault(format!("a branch of {} bytes with {count} elements", span.length)));
        }
        let table = span.get(HEADER, u64::from(count) * ELEMENT)?.to_vec();
        let node = Self { span, leaf, overflow, count: count.into(), table };
        node.check_elements().map(|()| node)
    }

    /// Whether the elements' data follow their table and each other, within the page.
    fn check_elements(&self) -> Result<()> {
        let mut end = HEADER + self.count * ELEMENT;
        for index in 0..self.count {
            let wrong = |what: &str| Err(self.span.fault(format!("element {index} {what}")));
            let Some(element) = self.element(index) else { return wrong("is of no known kind") };
            if !(1..=u64::from(MOST_KEY)).contains(&element.key) {
                return wrong(&format!("has a key of {} bytes", element.key));
            }
            if element.at != end {
                return wrong("does not follow the one before it");
            }
            end += element.key;
            if let What::Value { length, .. } = element.what {
                end += length;
            }
            if end > self.span.length {
                return wrong("ends beyond its page");
            }
        }
        Ok(())
    }

    /// `None` after the last one, and for one of no known kind, which [`Node::read`] refuses.
    pub(super) fn element(&self, index: u64) -> Option<Element> {
        let from = usize::try_from(index * ELEMENT).ok()?;
        let bytes = self.table.get(from..from + ELEMENT as usize)?;
        let base = HEADER + index * ELEMENT;
        let at = |offset| u64::from(u32_at(bytes, offset));
        if !self.leaf {
            return Some(Element { at: base + at(0), key: at(4), what: What::Child(u64_at(bytes, 8)) });
        }
        let flags = u32_at(bytes, 0);
        let what = What::Value { bucket: flags == BUCKET, length: at(12) };
        (flags <= BUCKET).then_some(Element { at: base + at(4), key: at(8), what })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn key(&mut self, element: &Element) -> Result<&[u8]> {
        self.span.get(element.at, element.key)
    }

    pub(super) fn value<'n>(&'n mut self, element: &Element) -> Value<'n, 'a, R> {
        let length = match element.what {
            What::Value { length, .. } => length,
            What::Child(_) => 0,
        };
        Value { at: element.at + element.key, length, span: &mut self.span }
    }
}

/// A value, of which only what is asked for is read.
pub struct Value<'n, 'a, R: ?Sized> {
    span: &'n mut Span<'a, R>,
    at: u64,
    length: u64,
}

impl<R: ReadAt + ?Sized> Value<'_, '_, R> {
    /// Most bytes that are given at once.
    pub const MOST: u64 = 64 * 1024;

    /// Bytes of the value.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Up to `length` bytes, at most [`Value::MOST`], from `at` on; fewer where the value ends.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn get(&mut self, at: u64, length: u64) -> Result<&[u8]> {
        let at = at.min(self.length);
        self.span.get(self.at + at, length.min(Self::MOST).min(self.length - at))
    }

    /// Bytes that are wrong, said with their place.
    pub fn fault(&self, what: impl std::fmt::Display) -> crate::error::Error {
        self.span.fault(what)
    }

    /// Where the tree of the bucket in this value begins.
    pub(super) fn bucket(&mut self) -> Result<Place> {
        let header = self.get(0, HEADER)?;
        if header.len() as u64 != HEADER {
            return Err(self.fault("a bucket's value is too short"));
        }
        Ok(match u64_at(header, 0) {
            0 => Place::Inline {
                page: self.span.page,
                at: self.span.start + self.at + HEADER,
                length: self.length - HEADER,
            },
            page => Place::Page(page),
        })
    }
}
