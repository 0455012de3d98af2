//! The parts in flight: how far each is, and how fast.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    protocol::{RunningPart, UploadId},
    rate::Meter,
    tune::{self, Sample},
};
use crate::{body::Progress, plan::PartNumber};

/// One part on its way.
#[derive(Debug)]
pub struct Flight {
    /// What can be seen of it from outside.
    pub progress: Arc<Progress>,
    /// Its length in bytes.
    pub length: u64,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// When it was begun.
    pub begun: Instant,
    /// Its speed.
    pub meter: Meter,
    /// What its connection had taken when it was last measured.
    pub measured: u64,
}

impl Flight {
    /// For how long its disk has not answered, where that is so long at least.
    fn reading_for(&self, least: Duration) -> Option<Duration> {
        self.progress.reading_for().filter(|it| *it >= least)
    }
}

/// A read that takes longer than this is worth a word.
const LATE: Duration = Duration::from_secs(1);

/// All parts on their way.
#[derive(Debug, Default)]
pub struct Flights {
    flying: BTreeMap<(UploadId, PartNumber), Flight>,
    /// Bytes that parts which came back had taken.
    landed: u64,
    /// When they were last measured.
    measured: Option<Instant>,
    /// Bytes that parts sent in their middle, and in how much time of single parts.
    steady: (u64, Duration),
}

impl Flights {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// A part goes out.
    pub fn start(&mut self, upload: UploadId, part: PartNumber, flight: Flight) {
        self.flying.insert((upload, part), flight);
    }

    /// A part is no longer in flight.
    pub fn end(&mut self, upload: UploadId, part: PartNumber) -> Option<Flight> {
        let flight = self.flying.remove(&(upload, part))?;
        self.landed += flight.progress.taken();
        Some(flight)
    }

    /// The parts of one upload.
    pub fn of(&self, upload: UploadId) -> impl Iterator<Item = (PartNumber, &Flight)> {
        let range = (upload, 0)..=(upload, PartNumber::MAX);
        self.flying
            .range(range)
            .map(|((_, part), flight)| (*part, flight))
    }

    /// The uploads that have any.
    #[must_use]
    pub fn uploads(&self) -> Vec<UploadId> {
        let mut ids: Vec<UploadId> = self.flying.keys().map(|(id, _)| *id).collect();
        ids.dedup();
        ids
    }

    /// The numbers of all.
    #[must_use]
    pub fn all(&self) -> Vec<(UploadId, PartNumber)> {
        self.flying.keys().copied().collect()
    }

    /// Bytes on their way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.flying
            .values()
            .map(|flight| flight.progress.taken())
            .sum()
    }

    /// Bytes taken by the connections since the program started.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.landed + self.in_flight()
    }

    /// What the tuner wants to know of them.
    #[must_use]
    pub fn for_tuner(&self, free: bool) -> Sample {
        let total: u64 = self.flying.values().map(|flight| flight.length).sum();
        Sample {
            bytes: self.steady.0,
            time: self.steady.1,
            flying: self.flying.len(),
            length: total.checked_div(self.flying.len() as u64).unwrap_or(0),
            free,
        }
    }

    /// Measures every part's speed.
    pub fn sample(&mut self, now: Instant) {
        let since = self
            .measured
            .replace(now)
            .map_or(Duration::ZERO, |at| now - at);
        for flight in self.flying.values_mut() {
            let taken = flight.progress.taken();
            flight.meter.sample(now, taken);
            let before = std::mem::replace(&mut flight.measured, taken);
            if let Some(bytes) = tune::steady(now - flight.begun, before, taken, flight.length) {
                self.steady.0 += bytes;
                self.steady.1 += since;
            }
        }
    }

    /// Bytes on their way of one upload.
    #[must_use]
    pub fn in_flight_of(&self, upload: UploadId) -> u64 {
        self.of(upload)
            .map(|(_, flight)| flight.progress.taken())
            .sum()
    }

    /// Bytes a second of one upload.
    #[must_use]
    pub fn rate(&self, upload: UploadId) -> u64 {
        self.of(upload).map(|(_, flight)| flight.meter.rate()).sum()
    }

    /// How many parts of an upload have waited for their disk for so long.
    #[must_use]
    pub fn slow(&self, upload: UploadId, least: Duration) -> usize {
        let waits = |flight: &Flight| flight.reading_for(least).is_some();
        self.of(upload).filter(|(_, flight)| waits(flight)).count()
    }

    /// How many parts of an upload are on their way.
    #[must_use]
    pub fn count(&self, upload: UploadId) -> usize {
        self.of(upload).count()
    }

    /// Whether the connections waited for the disk for most of the time.
    #[must_use]
    pub fn starved(&self, now: Instant) -> bool {
        let total = |of: fn(&Flight, Instant) -> Duration| -> Duration {
            self.flying.values().map(|flight| of(flight, now)).sum()
        };
        total(|flight, _| flight.progress.starved()) * 2 > total(|flight, now| now - flight.begun)
    }

    /// The parts of one upload, as a screen shows them.
    #[must_use]
    pub fn show(&self, upload: UploadId, now: Instant) -> Vec<RunningPart> {
        self.of(upload)
            .map(|(number, flight)| RunningPart {
                number,
                length: flight.length,
                taken: flight.progress.taken(),
                rate: flight.meter.rate(),
                attempt: flight.attempt,
                age_ms: millis(now - flight.begun),
                reading_ms: flight.reading_for(LATE).map(millis),
            })
            .collect()
    }
}

/// A duration in whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A part is in flight that nobody sends.
    pub(in crate::engine) fn fly(flights: &mut Flights, upload: UploadId, part: PartNumber) {
        let now = Instant::now();
        let flight = Flight {
            progress: Arc::default(),
            length: 9,
            attempt: 1,
            begun: now,
            meter: Meter::new(now),
            measured: 0,
        };
        flights.start(upload, part, flight);
    }
}
