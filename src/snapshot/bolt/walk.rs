//! Every entry of a tree in the order of its keys, without recursion.

use super::ledger::Ledger;
use super::node::{Node, What};
use super::{Database, Place, ReadAt, Value};
use crate::error::Result;

/// Most levels of a tree: a branch has at least two pages below it, so no file has so many.
pub(super) const MOST_LEVELS: usize = 64;

/// What is called with each entry: its key, whether it is a bucket, and its value.
pub(super) type Visit<'v, R> = dyn for<'n, 'a> FnMut(&[u8], bool, Value<'n, 'a, R>) -> Result<()> + 'v;

/// The last key that was seen in a tree; the next one must be greater, or equal where a branch has announced it.
struct Floor {
    key: Vec<u8>,
    announced: bool,
}

impl Floor {
    fn rise<R: ReadAt + ?Sized>(&mut self, node: &mut Node<'_, R>, index: u64) -> Result<()> {
        let Some(element) = node.element(index) else { return Ok(()) };
        let leaf = node.leaf;
        let key = node.key(&element)?;
        // no key is empty, so the first one is greater than none
        let risen = if self.announced { key >= self.key.as_slice() } else { key > self.key.as_slice() };
        if !risen {
            return Err(node.span.fault(format!("the key of element {index} is not greater than the one before it")));
        }
        self.key.clear();
        self.key.extend_from_slice(key);
        self.announced = !leaf;
        Ok(())
    }
}

/// Visits the entries, and enters the pages into `ledger` if there is one: without, they were entered before.
pub(super) fn tree<R: ReadAt + ?Sized>(
    database: &Database<'_, R>,
    root: Place,
    mut ledger: Option<&mut Ledger>,
    visit: &mut Visit<'_, R>,
) -> Result<()> {
    let mut floor = Floor { key: Vec::new(), announced: false };
    let mut levels = Vec::new();
    let mut next = Some(root);
    loop {
        if let Some(place) = next.take() {
            let mut node = Node::read(database, place)?;
            if let (Place::Page(page), Some(ledger)) = (place, &mut ledger) {
                ledger.take(page, node.overflow)?;
            }
            match node.leaf {
                true => leaf(&mut node, &mut floor, visit)?,
                false if levels.len() == MOST_LEVELS => return Err(node.span.fault("the tree is too deep")),
                false => levels.push((node, 0)),
            }
        }
        let Some((node, index)) = levels.last_mut() else { return Ok(()) };
        match node.element(*index).map(|element| element.what) {
            Some(What::Child(page)) => {
                floor.rise(node, *index)?;
                *index += 1;
                next = Some(Place::Page(page));
            }
            _ => {
                levels.pop();
            }
        }
    }
}

fn leaf<R: ReadAt + ?Sized>(node: &mut Node<'_, R>, floor: &mut Floor, visit: &mut Visit<'_, R>) -> Result<()> {
    for index in 0..node.count() {
        floor.rise(node, index)?;
        let Some(element) = node.element(index) else { continue };
        let bucket = matches!(element.what, What::Value { bucket: true, .. });
        visit(&floor.key, bucket, node.value(&element))?;
    }
    Ok(())
}
