//! Texts as accidents leave them: cut off, written over, with stretches missing, doubled or moved, and
//! numbers that can't be.

#![allow(
    unreachable_pub,
    reason = "tests inside and outside of the crate use this"
)]

use proptest::{collection::vec, prelude::*, sample::Index};

/// Numbers that programs stumble over.
const NUMBERS: [&str; 8] = [
    "0",
    "-1",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
    "1e400",
];

#[derive(Debug, Clone)]
enum Accident {
    Cut(Index),
    Overwrite(Index, Vec<u8>),
    Lose(Index, usize),
    Double(Index, usize),
    Move(Index, usize, Index),
    Number(Index, &'static str),
}

fn accident() -> impl Strategy<Value = Accident> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Accident::Cut),
        2 => (at(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Accident::Overwrite(at, bytes)),
        2 => (at(), 1usize..80).prop_map(|(at, length)| Accident::Lose(at, length)),
        2 => (at(), 1usize..80).prop_map(|(at, length)| Accident::Double(at, length)),
        1 => (at(), 1usize..80, at()).prop_map(|(at, length, to)| Accident::Move(at, length, to)),
        2 => (at(), prop::sample::select(&NUMBERS[..]))
            .prop_map(|(at, number)| Accident::Number(at, number)),
    ]
}

/// What one to four accidents make of one of these texts.
pub fn damaged(texts: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let text = prop::sample::select(texts);
    (text, vec(accident(), 1..5)).prop_map(|(mut text, accidents)| {
        for accident in &accidents {
            befall(&mut text, accident);
        }
        text
    })
}

fn befall(text: &mut Vec<u8>, accident: &Accident) {
    if text.is_empty() {
        return;
    }
    let size = text.len();
    let place = |at: &Index| at.index(size);
    let stretch = |at: &Index, length: usize| place(at)..(place(at) + length).min(size);
    match accident {
        Accident::Cut(at) => text.truncate(place(at)),
        Accident::Overwrite(at, bytes) => {
            let range = stretch(at, bytes.len());
            text.splice(range, bytes.iter().copied());
        }
        Accident::Lose(at, length) => drop(text.drain(stretch(at, *length))),
        Accident::Double(at, length) => {
            let range = stretch(at, *length);
            let again = text[range.clone()].to_vec();
            text.splice(range.end..range.end, again);
        }
        Accident::Move(at, length, to) => {
            let moved: Vec<u8> = text.drain(stretch(at, *length)).collect();
            let to = to.index(text.len() + 1);
            text.splice(to..to, moved);
        }
        Accident::Number(at, number) => {
            let digit = |at: &usize| text[*at].is_ascii_digit();
            if let Some(begin) = (place(at)..size).find(digit) {
                let end = (begin..size).find(|at| !digit(at)).unwrap_or(size);
                text.splice(begin..end, number.bytes());
            }
        }
    }
}
