//! The MD5 of up to three streams in turns, on one core.
//!
//! Each of MD5's steps needs the one before, so that one stream leaves most of a core idle. Steps of
//! other streams fit into the gaps: two take as long as one, and three hardly longer. More don't fit
//! into the registers of every processor.

use std::{array, collections::VecDeque, fmt, hint::black_box};

use bytes::{Buf, Bytes};

/// How many streams are hashed in turns.
pub(super) const LANES: usize = 3;

/// What MD5 hashes at once, in bytes.
pub(super) const CHUNK: usize = 64;

/// The four words of an MD5.
pub(super) type State = [u32; 4];

/// An MD5 under way, and the bytes that come next.
pub(super) struct Lane {
    pub(super) state: State,
    /// Whole chunks, none without one.
    pieces: VecDeque<Bytes>,
    /// All of them, in bytes.
    length: usize,
}

impl Lane {
    /// An MD5 that has not begun. (RFC 1321, 3.3)
    pub(super) const fn new() -> Self {
        Self::at([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476])
    }

    const fn at(state: State) -> Self {
        Self {
            state,
            pieces: VecDeque::new(),
            length: 0,
        }
    }

    /// How many bytes come next.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Adds whole chunks at the end.
    pub(super) fn push(&mut self, piece: Bytes) {
        debug_assert!(piece.len().is_multiple_of(CHUNK), "no whole chunks");
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Splits off what comes first: so many bytes, which are whole chunks, or all there are.
    pub(super) fn split_to(&mut self, most: usize) -> Self {
        let mut first = Self::at(self.state);
        while first.length < most
            && let Some(front) = self.pieces.front_mut()
        {
            let piece = front.split_to(front.len().min(most - first.length));
            self.length -= piece.len();
            if front.is_empty() {
                self.pieces.pop_front();
            }
            first.push(piece);
        }
        first
    }

    fn front(&self) -> &[[u8; CHUNK]] {
        self.pieces.front().map_or(&[], |piece| piece.as_chunks().0)
    }

    /// Drops so many chunks of the first piece.
    fn advance(&mut self, chunks: usize) {
        if let Some(front) = self.pieces.front_mut() {
            front.advance(chunks * CHUNK);
            self.length -= chunks * CHUNK;
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes are somebody's film.
        f.debug_struct("Lane")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Hashes all there is. Lanes need not be of one length.
pub(super) fn hash(lanes: &mut [Lane]) {
    loop {
        let mut left = lanes.iter_mut().filter(|lane| lane.length > 0);
        match (left.next(), left.next(), left.next()) {
            (Some(a), Some(b), Some(c)) => in_turns([a, b, c]),
            (Some(a), Some(b), None) => in_turns([a, b]),
            (Some(a), None, _) => in_turns([a]),
            (None, ..) => return,
        }
    }
}

/// Hashes as much of each as the first pieces of all of them have.
fn in_turns<const N: usize>(lanes: [&mut Lane; N]) {
    let pieces = lanes.each_ref().map(|lane| lane.front());
    let shared = pieces.iter().map(|piece| piece.len()).min().unwrap_or(0);
    let mut states = lanes.each_ref().map(|lane| lane.state);
    // A compiler that knows the sines adds them last, where a step waits for it: a fifth of the time.
    let sines = black_box(&SINES);
    for at in 0..shared {
        compress(&mut states, pieces.map(|piece| &piece[at]), sines);
    }
    for (lane, state) in lanes.into_iter().zip(states) {
        lane.state = state;
        lane.advance(shared);
    }
}

/// The sines that MD5 adds, one a step. (RFC 1321, 3.4)
const SINES: [[u32; 4]; 16] = [
    [0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee],
    [0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501],
    [0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be],
    [0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821],
    [0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa],
    [0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8],
    [0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed],
    [0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a],
    [0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c],
    [0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70],
    [0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05],
    [0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665],
    [0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039],
    [0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1],
    [0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1],
    [0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391],
];

/// One chunk of each. (RFC 1321, 3.4)
fn compress<const N: usize>(
    states: &mut [State; N],
    chunks: [&[u8; CHUNK]; N],
    sines: &[[u32; 4]; 16],
) {
    // Each adds its mix of three words to a sum: F, G, H and I. G's halves have no bit in common, and
    // adding them one by one leaves less to wait for.
    let f = |sum: u32, [b, c, d]: [u32; 3]| sum.wrapping_add(d ^ (b & (c ^ d)));
    let g = |sum: u32, [b, c, d]: [u32; 3]| sum.wrapping_add(c & !d).wrapping_add(b & d);
    let h = |sum: u32, [b, c, d]: [u32; 3]| sum.wrapping_add(b ^ (c ^ d));
    let i = |sum: u32, [b, c, d]: [u32; 3]| sum.wrapping_add(c ^ (b | !d));
    let before = *states;
    four_steps(states, chunks, f, sines[0], [0, 1, 2, 3], [7, 12, 17, 22]);
    four_steps(states, chunks, f, sines[1], [4, 5, 6, 7], [7, 12, 17, 22]);
    four_steps(states, chunks, f, sines[2], [8, 9, 10, 11], [7, 12, 17, 22]);
    four_steps(
        states,
        chunks,
        f,
        sines[3],
        [12, 13, 14, 15],
        [7, 12, 17, 22],
    );
    four_steps(states, chunks, g, sines[4], [1, 6, 11, 0], [5, 9, 14, 20]);
    four_steps(states, chunks, g, sines[5], [5, 10, 15, 4], [5, 9, 14, 20]);
    four_steps(states, chunks, g, sines[6], [9, 14, 3, 8], [5, 9, 14, 20]);
    four_steps(states, chunks, g, sines[7], [13, 2, 7, 12], [5, 9, 14, 20]);
    four_steps(states, chunks, h, sines[8], [5, 8, 11, 14], [4, 11, 16, 23]);
    four_steps(states, chunks, h, sines[9], [1, 4, 7, 10], [4, 11, 16, 23]);
    four_steps(states, chunks, h, sines[10], [13, 0, 3, 6], [4, 11, 16, 23]);
    four_steps(
        states,
        chunks,
        h,
        sines[11],
        [9, 12, 15, 2],
        [4, 11, 16, 23],
    );
    four_steps(states, chunks, i, sines[12], [0, 7, 14, 5], [6, 10, 15, 21]);
    four_steps(
        states,
        chunks,
        i,
        sines[13],
        [12, 3, 10, 1],
        [6, 10, 15, 21],
    );
    four_steps(
        states,
        chunks,
        i,
        sines[14],
        [8, 15, 6, 13],
        [6, 10, 15, 21],
    );
    four_steps(states, chunks, i, sines[15], [4, 11, 2, 9], [6, 10, 15, 21]);
    for (state, before) in states.iter_mut().zip(before) {
        *state = array::from_fn(|word| state[word].wrapping_add(before[word]));
    }
}

/// Four steps, after which each word of a state is in its place again: they add the words of the chunk
/// `at` there and these sines, and turn by so many bits.
#[expect(
    clippy::inline_always,
    reason = "where all indices are known, no word leaves its register"
)]
#[inline(always)]
fn four_steps<const N: usize>(
    states: &mut [State; N],
    chunks: [&[u8; CHUNK]; N],
    mix: impl Fn(u32, [u32; 3]) -> u32 + Copy,
    sines: [u32; 4],
    at: [usize; 4],
    turn: [u32; 4],
) {
    step(states, chunks, mix, [0, 1, 2, 3], sines[0], at[0], turn[0]);
    step(states, chunks, mix, [3, 0, 1, 2], sines[1], at[1], turn[1]);
    step(states, chunks, mix, [2, 3, 0, 1], sines[2], at[2], turn[2]);
    step(states, chunks, mix, [1, 2, 3, 0], sines[3], at[3], turn[3]);
}

/// One step of every stream, where `[a, b, c, d]` are the words' places.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn step<const N: usize>(
    states: &mut [State; N],
    chunks: [&[u8; CHUNK]; N],
    mix: impl Fn(u32, [u32; 3]) -> u32,
    [a, b, c, d]: [usize; 4],
    sine: u32,
    at: usize,
    turn: u32,
) {
    for (state, chunk) in states.iter_mut().zip(chunks) {
        let word = u32::from_le_bytes(chunk.as_chunks().0[at]);
        let sum = state[a].wrapping_add(word).wrapping_add(sine);
        let mixed = mix(sum, [state[b], state[c], state[d]]);
        state[a] = mixed.rotate_left(turn).wrapping_add(state[b]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_any_number_and_length_give_what_each_gives_alone() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let streams: Vec<Vec<Bytes>> = (0..random.usize(0..=7))
                .map(|_| {
                    let pieces = 0..random.usize(0..4);
                    pieces
                        .map(|_| {
                            let length = CHUNK * random.usize(0..9);
                            (0..length).map(|_| random.u8(..)).collect()
                        })
                        .collect()
                })
                .collect();
            let alone: Vec<State> = streams
                .iter()
                .map(|pieces| {
                    let mut state = Lane::new().state;
                    for piece in pieces {
                        md5::block_api::compress(&mut state, piece.as_chunks().0);
                    }
                    state
                })
                .collect();
            let mut lanes: Vec<Lane> = streams
                .into_iter()
                .map(|pieces| {
                    let mut lane = Lane::new();
                    for piece in pieces {
                        lane.push(piece);
                    }
                    lane
                })
                .collect();
            hash(&mut lanes);
            assert!(lanes.iter().all(|lane| lane.len() == 0));
            assert_eq!(lanes.iter().map(|l| l.state).collect::<Vec<_>>(), alone);
        }
    }

    #[test]
    fn what_is_split_off_comes_first_and_the_rest_after_it() {
        let bytes: Bytes = (0..=255).collect();
        let mut lane = Lane::new();
        lane.push(bytes.slice(..64));
        lane.push(bytes.slice(64..));
        let first = lane.split_to(128);
        assert_eq!((first.len(), lane.len()), (128, 128));
        assert_eq!(
            first.pieces.iter().flatten().copied().collect::<Bytes>(),
            bytes[..128]
        );
        assert_eq!(lane.front().as_flattened(), &bytes[128..]);
        assert_eq!(lane.split_to(1024).len(), 128);
        assert_eq!(lane.len(), 0);
    }
}
