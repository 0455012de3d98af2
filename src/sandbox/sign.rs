//! What proves that a link or token was made here: a hash under a key that outlives a restart.

use std::{fs, io, io::Read as _, path::Path};

use sha2::{Digest, Sha256};

use crate::format::hex;

/// The key of one sandbox.
pub(super) struct Key([u8; 32]);

impl Key {
    /// A key for as long as the process lives.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    /// The key kept in this file, made at first.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => bytes.try_into().map(Self).map_err(|_| {
                io::Error::other(format!("{} is no key of a sandbox", file.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::new()?;
                super::store::write_whole(file, &key.0)?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    /// The signature of these words, which only this key gives.
    pub(super) fn sign(&self, words: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for word in words {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word);
        }
        // The key at both ends: the hash can't be continued by who does not have it.
        hash.update(self.0);
        hex(&hash.finalize()[..20])
    }
}

/// The bytes that hex digits stand for.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(out)
}

/// `length` random letters and digits, as the vendors' ids are made of.
pub(super) fn id(length: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(length)
        .collect()
}
