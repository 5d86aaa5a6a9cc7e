//! Which pages are in use and which are free: two bits a page, by the size of the real file.

use super::fault;
use crate::error::Result;

pub(super) struct Ledger {
    pages: u64,
    page_size: u64,
    used: Bits,
    free: Bits,
}

impl Ledger {
    /// A ledger in which only the two meta pages are in use.
    pub(super) fn new(pages: u64, page_size: u64) -> Self {
        let mut used = Bits::new(pages);
        used.set(0);
        used.set(1);
        Self { pages, page_size, used, free: Bits::new(pages) }
    }

    /// Takes a page and those that it goes on in; all must exist, be in use once and not be free.
    pub(super) fn take(&mut self, page: u64, overflow: u64) -> Result<()> {
        for one in page..=page.saturating_add(overflow).min(self.pages) {
            let wrong = |what| Err(fault(one, self.page_size, what));
            match () {
                () if one >= self.pages => return wrong("lies beyond the end of the file"),
                () if self.free.get(one) => return wrong("is in use and on the list of free pages"),
                () if self.used.set(one) => return wrong("is referred to twice"),
                () => {}
            }
        }
        Ok(())
    }

    /// Takes a page of the list of free pages.
    pub(super) fn release(&mut self, page: u64, list: u64) -> Result<()> {
        if !(2..self.pages).contains(&page) {
            return Err(fault(list, self.page_size, format!("page {page} cannot be free: there is none")));
        }
        let wrong = |how| Err(fault(list, self.page_size, format!("page {page} is free {how}")));
        match self.free.set(page) {
            true => wrong("twice"),
            false if self.used.get(page) => wrong("and holds this list"),
            false => Ok(()),
        }
    }

    /// The first page that is neither in use nor free.
    pub(super) fn lost(&self) -> Option<u64> {
        (0..self.pages).find(|page| !self.used.get(*page) && !self.free.get(*page))
    }

    /// Pages in use.
    pub(super) fn used(&self) -> u64 {
        self.used.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self(vec![0; usize::try_from(count.div_ceil(64)).unwrap_or_default()])
    }

    fn get(&self, at: u64) -> bool {
        let word = usize::try_from(at / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// Sets a bit, and returns whether it was set.
    fn set(&mut self, at: u64) -> bool {
        let bit = 1 << (at % 64);
        match usize::try_from(at / 64).ok().and_then(|word| self.0.get_mut(word)) {
            Some(word) => std::mem::replace(word, *word | bit) & bit != 0,
            None => false,
        }
    }
}
