//! The MD5 of many streams, hashed side by side: what hashing costs is most of what sending costs.
//!
//! Bytes of each stream wait for a while, so that there are others to hash them in turns with
//! (`lanes`). Whoever adds more than may wait hashes those of which most waits, its own or not: no
//! thread hashes for all, none has to be woken, and the bytes that wait are few however many streams
//! there are. A stream that is alone is hashed at once.

mod lanes;

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};

use lanes::{CHUNK, LANES, Lane, State};

/// How many bytes may wait of all streams together.
const MAY_WAIT: usize = 4 * 1024 * 1024;

/// Fewer bytes than these are copied together: the memory that they are a piece of may be much more.
const PIECE: usize = 16 * 1024;

/// The most bytes of a stream that are hashed in one go.
const SHARE: usize = 256 * 1024;

/// Streams that are hashed side by side. Cheap to clone; clones share their streams.
#[derive(Debug, Clone, Default)]
pub struct Hashing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Streams>,
    /// Nobody hashes any more, or a stream has ended.
    hashed: Condvar,
}

#[derive(Debug, Default)]
struct Streams {
    by_number: BTreeMap<u64, Lane>,
    next: u64,
    /// Someone hashes. One at a time: two would take from each other what they could hash in turns.
    hashing: bool,
    /// How many streams are to be hashed to their end.
    ending: usize,
}

/// One stream of bytes on its way to an MD5. May be dropped at any time.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    number: u64,
    /// What was added last and is not worth a piece of its own yet.
    rest: BytesMut,
    /// How many bytes were added.
    length: u64,
}

impl Hashing {
    /// A new stream.
    #[must_use]
    pub fn stream(&self) -> Stream {
        let mut streams = self.0.streams();
        let number = streams.next;
        streams.next += 1;
        streams.by_number.insert(number, Lane::new());
        Stream {
            shared: Arc::clone(&self.0),
            number,
            rest: BytesMut::new(),
            length: 0,
        }
    }
}

impl Stream {
    /// Adds bytes at the end. Blocks for as long as hashing takes.
    pub fn add(&mut self, mut bytes: Bytes) {
        self.length += bytes.len() as u64;
        if bytes.len() < PIECE {
            self.rest.extend_from_slice(&bytes);
            if self.rest.len() < PIECE {
                return;
            }
            bytes.clear();
        } else if !self.rest.is_empty() {
            let missing = self.rest.len().next_multiple_of(CHUNK) - self.rest.len();
            self.rest.extend_from_slice(&bytes.split_to(missing));
        }
        let whole = self.rest.len() / CHUNK * CHUNK;
        self.shared
            .push(self.number, self.rest.split_to(whole).freeze());
        let rest = bytes.split_off(bytes.len() / CHUNK * CHUNK);
        self.rest.extend_from_slice(&rest);
        self.shared.push(self.number, bytes);
        self.shared.hash(None);
    }

    /// The MD5 of all that was added. Blocks for as long as hashing takes.
    #[must_use]
    pub fn finish(mut self) -> [u8; 16] {
        // A one, zeros, and how many bits there are, at the end of a chunk. (RFC 1321, 3.1 and 3.2)
        self.rest.put_u8(0x80);
        let end = (self.rest.len() + size_of::<u64>()).next_multiple_of(CHUNK);
        self.rest.resize(end - size_of::<u64>(), 0);
        self.rest.put_u64_le(self.length.wrapping_mul(8));
        self.shared.push(self.number, self.rest.split().freeze());
        self.shared.hash(Some(self.number));
        let state = self.shared.state(self.number);
        let mut md5 = [0; 16];
        md5.as_chunks_mut()
            .0
            .copy_from_slice(&state.map(u32::to_le_bytes));
        md5
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.streams().by_number.remove(&self.number);
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, number: u64, piece: Bytes) {
        if let Some(lane) = self.streams().by_number.get_mut(&number) {
            lane.push(piece);
        }
    }

    /// How far a stream is; complete when nothing is left of it.
    fn state(&self, number: u64) -> State {
        let streams = self.streams();
        let lane = streams.by_number.get(&number);
        lane.map_or(Lane::new().state, |lane| lane.state)
    }

    /// Hashes all there is of one stream, or else until no more bytes wait than may. When someone else
    /// is at it, waits until that is done. A stream that ends goes first: its part waits for it.
    fn hash(&self, number: Option<u64>) {
        let ends = number.is_some();
        let mut streams = self.streams();
        streams.ending += usize::from(ends);
        loop {
            streams = self
                .hashed
                .wait_while(streams, |streams| match number {
                    Some(_) => streams.hashing,
                    None => (streams.hashing || streams.ending > 0) && streams.left(None),
                })
                .unwrap_or_else(PoisonError::into_inner);
            if !streams.left(number) {
                break;
            }
            streams.hashing = true;
            while streams.left(number) && (ends || streams.ending == 0) {
                let (numbers, mut lanes) = streams.take(number);
                drop(streams);
                lanes::hash(&mut lanes);
                streams = self.streams();
                streams.give_back(&numbers, &lanes);
            }
            streams.hashing = false;
            self.hashed.notify_all();
        }
        if ends {
            streams.ending -= 1;
            self.hashed.notify_all();
        }
    }
}

impl Streams {
    /// Whether anything is left to hash of one stream, or else more than may wait.
    fn left(&self, number: Option<u64>) -> bool {
        match number {
            Some(number) => self
                .by_number
                .get(&number)
                .is_some_and(|lane| lane.len() > 0),
            None if self.by_number.len() > 1 => {
                self.by_number.values().map(Lane::len).sum::<usize>() > MAY_WAIT
            }
            None => self.by_number.values().any(|lane| lane.len() > 0),
        }
    }

    /// Takes a share of this stream, or else of the longest, and of two others to take turns with.
    fn take(&mut self, number: Option<u64>) -> (Vec<u64>, Vec<Lane>) {
        let mut lanes: Vec<(u64, &mut Lane)> =
            self.by_number.iter_mut().map(|(n, l)| (*n, l)).collect();
        lanes.sort_unstable_by_key(|(n, lane)| (Some(*n) != number, Reverse(lane.len())));
        let longest = lanes.first().map_or(0, |(_, lane)| lane.len().min(SHARE));
        // With one that has much less there would soon be none to take turns with.
        lanes.retain(|(_, lane)| lane.len() > 0 && lane.len() >= longest / 2);
        lanes.truncate(LANES);
        let share = lanes
            .iter()
            .map(|(_, lane)| lane.len())
            .fold(longest, usize::min);
        lanes
            .into_iter()
            .map(|(n, lane)| (n, lane.split_to(share)))
            .unzip()
    }

    /// Tells the streams that are still there how far they are.
    fn give_back(&mut self, numbers: &[u64], lanes: &[Lane]) {
        for (number, done) in numbers.iter().zip(lanes) {
            if let Some(lane) = self.by_number.get_mut(number) {
                lane.state = done.state;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{iter, thread};

    use md5::{Digest, Md5};

    use super::*;

    /// Adds bytes in pieces of odd lengths.
    fn md5_of(mut stream: Stream, bytes: &Bytes, random: &mut fastrand::Rng) -> [u8; 16] {
        let mut left = bytes.clone();
        while !left.is_empty() {
            let length = match random.u8(..5) {
                0 => random.usize(..=3 * CHUNK),
                1 => random.usize(..=2 * PIECE),
                2 => random.usize(..=3 * SHARE),
                _ => SHARE,
            };
            stream.add(left.split_to(length.min(left.len())));
        }
        stream.finish()
    }

    fn some_bytes(random: &mut fastrand::Rng) -> Bytes {
        let length = match random.u8(..3) {
            0 => random.usize(..=3 * CHUNK),
            _ => random.usize(..=10 * SHARE),
        };
        iter::repeat_with(|| random.u8(..)).take(length).collect()
    }

    #[test]
    fn streams_of_many_threads_have_the_md5_that_each_has_alone() {
        let hashing = Hashing::default();
        thread::scope(|scope| {
            for seed in 0..8 {
                let hashing = &hashing;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..20 {
                        let bytes = some_bytes(&mut random);
                        let md5 = md5_of(hashing.stream(), &bytes, &mut random);
                        assert_eq!(md5, <[u8; 16]>::from(Md5::digest(&bytes)));
                        // One that was given up meanwhile changes nothing for the others.
                        hashing.stream().add(bytes);
                    }
                });
            }
        });
        assert!(hashing.0.streams().by_number.is_empty());
    }

    #[test]
    fn a_stream_of_any_length_is_padded_as_md5_wants_it() {
        let bytes: Bytes = (0..=255).collect();
        for length in 0..=bytes.len() {
            let bytes = bytes.slice(..length);
            let mut stream = Hashing::default().stream();
            stream.add(bytes.clone());
            assert_eq!(
                stream.finish(),
                <[u8; 16]>::from(Md5::digest(&bytes)),
                "{length}"
            );
        }
    }

    #[test]
    fn streams_wait_for_each_other_and_never_with_more_than_may_wait() {
        let hashing = Hashing::default();
        let block = Bytes::from(vec![7; MAY_WAIT / 16]);
        let waiting = || {
            let streams = hashing.0.streams();
            let all = streams.by_number.values();
            all.map(|lane| lane.len() / block.len()).collect::<Vec<_>>()
        };
        let mut alone = hashing.stream();
        alone.add(block.clone());
        assert_eq!(waiting(), [0]);
        drop(alone);

        let mut streams = [(); 20].map(|()| hashing.stream());
        for round in 0..3 {
            for stream in &mut streams {
                stream.add(block.clone());
                assert!(waiting().iter().sum::<usize>() <= 16, "{round}");
            }
        }
        assert!(waiting().iter().sum::<usize>() > 8);
        let md5 = <[u8; 16]>::from(Md5::digest(block.repeat(3)));
        for stream in streams {
            assert_eq!(stream.finish(), md5);
        }
    }

    #[test]
    fn small_pieces_keep_no_more_memory_than_their_own() {
        let hashing = Hashing::default();
        let mut streams = [(); 2].map(|()| hashing.stream());
        let large = Bytes::from(vec![7; 64 * PIECE]);
        for at in 0..64 {
            streams[0].add(large.slice(at * PIECE..at * PIECE + 100));
        }
        assert!(large.is_unique());
        let md5 = <[u8; 16]>::from(Md5::digest(&large[..6400]));
        let [stream, _] = streams;
        assert_eq!(stream.finish(), md5);
    }
}
