//! Tickets encrypted: a ticket lets its holder write to the account, and a ledger may be read by others,
//! as from a backup.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

use crate::destination::Ticket;

/// How many bytes a key has.
pub(super) const KEY: usize = 32;

/// A ticket encrypted for the object with this marker: a random nonce, and what it became with it. `None`
/// where the system has no random bytes: an object without a ticket is found by its marker.
pub(super) fn seal(key: &[u8; KEY], marker: &str, ticket: &Ticket) -> Option<Vec<u8>> {
    let mut text = toml::to_string(ticket).ok()?.into_bytes();
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let for_object = Aad::from(marker.as_bytes());
    let with = Nonce::assume_unique_for_key(nonce);
    cipher(key)?
        .seal_in_place_append_tag(with, for_object, &mut text)
        .ok()?;
    Some([&nonce[..], &text].concat())
}

/// The ticket that [`seal`] encrypted for the object with this marker. `None` where the key is another
/// or the bytes were changed.
pub(super) fn open(key: &[u8; KEY], marker: &str, sealed: &[u8]) -> Option<Ticket> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut sealed = sealed.to_vec();
    let for_object = Aad::from(marker.as_bytes());
    let with = Nonce::assume_unique_for_key(*nonce);
    let cipher = cipher(key)?;
    let text = cipher.open_in_place(with, for_object, &mut sealed).ok()?;
    toml::from_str(str::from_utf8(text).ok()?).ok()
}

fn cipher(key: &[u8; KEY]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key)
        .ok()
        .map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: [u8; KEY] = [1; KEY];

    fn ticket() -> Ticket {
        let mut ticket = Ticket::of("AbCd1234").with("token", "a secret \"'\n");
        ticket.data.insert("parts".into(), 7.into());
        ticket
    }

    #[test]
    fn a_ticket_is_opened_by_its_own_key_for_its_own_object_alone() {
        let sealed = seal(&MINE, "marker", &ticket()).unwrap();
        assert_eq!(open(&MINE, "marker", &sealed), Some(ticket()));
        assert_eq!(open(&[2; KEY], "marker", &sealed), None);
        assert_eq!(open(&MINE, "another", &sealed), None);
        let without_media = Ticket::default().with("upload", "u1");
        let sealed = seal(&MINE, "marker", &without_media).unwrap();
        assert_eq!(open(&MINE, "marker", &sealed), Some(without_media));
    }

    #[test]
    fn a_ticket_that_was_changed_is_none() {
        let sealed = seal(&MINE, "marker", &ticket()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&MINE, "marker", &changed), None, "byte {at}");
            assert_eq!(open(&MINE, "marker", &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn nothing_of_a_ticket_can_be_read_and_no_two_look_alike() {
        let sealed = seal(&MINE, "marker", &ticket()).unwrap();
        for word in ["AbCd1234", "token", "secret"] {
            let found = sealed.windows(word.len()).any(|at| at == word.as_bytes());
            assert!(!found, "{word}");
        }
        assert_ne!(seal(&MINE, "marker", &ticket()).unwrap(), sealed);
    }
}
