//! The value of a revision: a `mvccpb.KeyValue`, of which only the key is wanted.

use crate::error::Result;
use crate::snapshot::bolt::{ReadAt, Value};

const KEY: u64 = 1;

/// Longest head of a field: a tag and a length or number of ten bytes each.
const HEAD: u64 = 20;

/// Walks over all fields, and returns where the last key stands: its first byte and how many.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) for bytes at which etcd would stop; those of the reader.
pub(super) fn key_of<R: ReadAt + ?Sized>(value: &mut Value<'_, '_, R>) -> Result<(u64, u64)> {
    let (mut at, mut key) = (0, (0, 0));
    while at < value.length() {
        let head = value.get(at, HEAD)?;
        let Some((field, content, length)) = field(head) else {
            return Err(value.fault(format!("the value of a revision is damaged at its byte {at}")));
        };
        let from = at + content;
        let end = from.checked_add(length).filter(|end| *end <= value.length());
        at = end.ok_or_else(|| value.fault("the value of a revision ends early"))?;
        if field == KEY {
            key = (from, length);
        }
    }
    Ok(key)
}

/// The number of a field, the bytes of its head and those of its content.
///
/// etcd knows fields 1 and 5 as bytes and 2, 3, 4 and 6 as numbers, and skips others (api/mvccpb/kv.pb.go).
fn field(head: &[u8]) -> Option<(u64, u64, u64)> {
    let (tag, after) = varint(head)?;
    let (field, wire) = (tag >> 3, tag & 7);
    let expected = match field {
        0 => return None,
        1 | 5 => Some(2),
        2..=4 | 6 => Some(0),
        _ => None,
    };
    if expected.is_some_and(|expected| expected != wire) {
        return None;
    }
    let rest = head.get(after..)?;
    match wire {
        0 => varint(rest).map(|(_, taken)| (field, (after + taken) as u64, 0)),
        1 => Some((field, after as u64, 8)),
        2 => varint(rest).map(|(length, taken)| (field, (after + taken) as u64, length)),
        5 => Some((field, after as u64, 4)),
        _ => None,
    }
}

/// A number in groups of seven bits, the least first, and the bytes that it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_etcd_and_others_are_skipped() {
        assert_eq!(field(&[0x0a, 3, b'a']), Some((1, 2, 3)));
        assert_eq!(field(&[0x10, 0x80, 1]), Some((2, 3, 0)));
        assert_eq!(field(&[0x3d, 1, 2, 3, 4]), Some((7, 1, 4)));
        for damaged in [&[][..], &[0x0a], &[0x08, 1], &[0x12, 1], &[0x02, 1], &[0x3b], &[0x10, 0x80], &[0xff; 20]] {
            assert_eq!(field(damaged), None, "{damaged:?}");
        }
    }
}
