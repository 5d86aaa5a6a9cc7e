//! One entry of a tree by a way straight down, for a look that must not read the whole.

use super::node::{Element, Node, What};
use super::walk::MOST_LEVELS;
use super::{Bucket, Database, Place, ReadAt, Value};
use crate::error::Result;

/// Which entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted<'w> {
    Key(&'w [u8]),
    Last,
}

impl<'a, R: ReadAt + ?Sized> Database<'a, R> {
    /// The bucket of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for pages on the way that are damaged; those of
    /// the reader.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket>> {
        let root = Place::Page(self.meta.root);
        let Some((mut leaf, element)) = self.descend(root, Wanted::Key(name))? else { return Ok(None) };
        match element.what {
            What::Value { bucket: true, .. } => {
                Ok(Some(Bucket { name: name.to_owned(), place: leaf.value(&element).bucket()? }))
            }
            _ => Err(leaf.span.fault("the root holds what is no bucket of etcd's")),
        }
    }

    /// The greatest key of a bucket.
    ///
    /// # Errors
    /// As [`Database::bucket`].
    pub fn last_key(&self, bucket: &Bucket) -> Result<Option<Vec<u8>>> {
        match self.descend(bucket.place, Wanted::Last)? {
            Some((mut leaf, element)) => leaf.key(&element).map(|key| Some(key.to_owned())),
            None => Ok(None),
        }
    }

    /// The value of a key, at most [`Value::MOST`] bytes of it.
    ///
    /// # Errors
    /// As [`Database::bucket`].
    pub fn value(&self, bucket: &Bucket, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.descend(bucket.place, Wanted::Key(key))? {
            Some((mut leaf, element)) => {
                leaf.value(&element).get(0, Value::<R>::MOST).map(|value| Some(value.to_owned()))
            }
            None => Ok(None),
        }
    }

    fn descend(&self, root: Place, wanted: Wanted<'_>) -> Result<Option<(Node<'a, R>, Element)>> {
        let mut node = Node::read(self, root)?;
        for _ in 0..MOST_LEVELS {
            let Some(element) = choose(&mut node, wanted)? else { return Ok(None) };
            match element.what {
                What::Child(page) => node = Node::read(self, Place::Page(page))?,
                What::Value { .. } => return Ok(Some((node, element))),
            }
        }
        Err(node.span.fault("the tree is too deep"))
    }
}

/// The element that leads to the wanted entry, or is it.
fn choose<R: ReadAt + ?Sized>(node: &mut Node<'_, R>, wanted: Wanted<'_>) -> Result<Option<Element>> {
    let Wanted::Key(key) = wanted else {
        return Ok(node.count().checked_sub(1).and_then(|last| node.element(last)));
    };
    let mut found = None;
    for index in 0..node.count() {
        let Some(element) = node.element(index) else { continue };
        match node.key(&element)?.cmp(key) {
            std::cmp::Ordering::Equal => return Ok(Some(element)),
            std::cmp::Ordering::Less if !node.leaf => found = Some(element),
            _ => {}
        }
    }
    Ok(found)
}
