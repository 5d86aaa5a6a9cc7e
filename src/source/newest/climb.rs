//! Where to ask next on the way to the last revision of a version; does not ask itself.

use super::PAGE;

/// The place of a question, and how many keys it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What stands after `<version>_` in the start-after.
    pub after: String,
    pub keys: u32,
    /// The revision at or above which a name is looked for; `None` for the page right after the low end.
    pub at: Option<u64>,
}

/// A gallop, then a bisection, between a revision that is there and one that nothing reaches.
///
/// The steps are powers of 16, and places are preferred where a digit turns from `9` to `a`: asking just before the
/// capital `A` there shows at no cost that no name in capitals hides.
#[derive(Debug, Clone)]
pub struct Climb {
    low: u64,
    high: u64,
    /// Difference of the revisions on one page, from the last page that was read.
    span: Option<u64>,
    /// Hex digits that the next step of the gallop clears; `None` in the bisection.
    gallop: Option<u32>,
}

impl Climb {
    /// A climb from the revision `low` to the greatest below `high`.
    pub fn new(low: u64, high: u64, span: Option<u64>) -> Self {
        Self { low, high, span, gallop: Some(0) }
    }

    /// The greatest revision known.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// No revision is looked for at or above it.
    pub fn limit(&self) -> u64 {
        self.high
    }

    /// The next question.
    pub fn ask(&mut self) -> Ask {
        let width = self.high.saturating_sub(self.low);
        match self.span.map(|span| span.saturating_mul(2)) {
            Some(two_pages) if width > two_pages.max(1) => {
                if let Some(at) = self.gallop_to(two_pages) {
                    return Ask { after: format!("{at:016x}"), keys: 1, at: Some(at) };
                }
                between(self.low, width)
            }
            _ => Ask { after: format!("{:016x}`", self.low), keys: PAGE, at: None },
        }
    }

    /// Takes in that `revision` was found.
    pub fn hit(&mut self, ask: &Ask, revision: u64) {
        match ask.at {
            None => self.span = Some(revision.saturating_sub(self.low)),
            Some(at) => {
                self.gallop = self.gallop.map(|digits| digits + 1);
                // one gap wider than the last page: the snapshots lie otherwise here, and the steps begin anew
                if self.span.is_some_and(|span| revision.saturating_sub(at) > span) {
                    (self.span, self.gallop) = (None, Some(0));
                }
            }
        }
        self.low = self.low.max(revision);
    }

    /// Takes in that nothing was found.
    pub fn miss(&mut self, ask: &Ask) {
        self.gallop = None;
        self.high = ask.at.unwrap_or(self.high).min(self.high);
    }

    fn gallop_to(&mut self, two_pages: u64) -> Option<u64> {
        let needed = two_pages.max(1).ilog2() / 4 + 1;
        let digits = self.gallop?.max(needed);
        let step = 1u64.checked_shl(digits * 4)?;
        let at = (self.low / step + 1).saturating_mul(step);
        self.gallop = (at < self.high).then_some(digits);
        self.gallop.map(|_| at)
    }
}

/// A place well inside, where a digit turns to `a` if there is one.
fn between(low: u64, width: u64) -> Ask {
    let (from, to) = (low + width / 10 * 3, low + width / 10 * 7);
    for digits in (0..15).rev() {
        let step = 1u64 << (digits * 4);
        let round = step << 4;
        // the least number from `from` on that has an `a` here and zeros after it
        let at = from.saturating_sub(step * 10).div_ceil(round) * round + step * 10;
        if (from..to).contains(&at) && at > low {
            let hex = format!("{at:016x}");
            let same = hex.get(..15 - digits).unwrap_or_default();
            return Ask { after: format!("{same}A"), keys: 1, at: Some(at) };
        }
    }
    let at = low + width.div_ceil(2);
    Ask { after: format!("{at:016x}"), keys: 1, at: Some(at) }
}
