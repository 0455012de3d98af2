//! Memory that parts are read into, used again and again: a fresh block costs as much as reading it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::BLOCK;

/// Blocks that all parts share. Cheap to clone. There are never more than were once in use at a time.
#[derive(Clone, Default)]
pub(super) struct Blocks(Arc<Mutex<Vec<Box<[u8]>>>>);

impl Blocks {
    /// A block with anything in it.
    pub(super) fn take(&self) -> Block {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = free.pop();
        drop(free);
        Block {
            bytes: bytes.unwrap_or_else(|| vec![0; BLOCK].into()),
            length: BLOCK,
            home: self.clone(),
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocks").finish_non_exhaustive()
    }
}

/// One block, free again when it is dropped.
pub(super) struct Block {
    bytes: Box<[u8]>,
    length: usize,
    home: Blocks,
}

impl Block {
    /// So many of its bytes, to be filled; at most [`BLOCK`].
    pub(super) fn first(&mut self, length: usize) -> &mut [u8] {
        self.length = length;
        &mut self.bytes[..length]
    }

    /// The bytes that were filled.
    pub(super) fn filled(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_only_when_nobody_holds_it() {
        let blocks = Blocks::default();
        let mut block = blocks.take();
        block.first(3).copy_from_slice(b"one");
        let one = block.filled();
        let held = one.slice(1..);
        drop(one);
        let mut block = blocks.take();
        block.first(5).copy_from_slice(b"other");
        let other = block.filled();
        assert_eq!((&held[..], &other[..]), (&b"ne"[..], &b"other"[..]));
        drop((held, other));
        let again = [(); 3].map(|()| blocks.take());
        assert!(blocks.0.lock().unwrap().is_empty());
        drop(again);
        assert_eq!(blocks.0.lock().unwrap().len(), 3);
    }
}
