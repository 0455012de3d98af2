//! Counters over everything the sandbox was asked.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::{faults::Step, media::Vendor};

#[derive(Debug)]
pub(super) struct Stats {
    begun: Instant,
    steps: Mutex<BTreeMap<(Vendor, Step), u64>>,
    minutes: Mutex<BTreeMap<Vendor, Vec<u64>>>,
    connections: AtomicU64,
    most_connections: AtomicU64,
    bytes: AtomicU64,
    slots: AtomicU64,
}

impl Stats {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            steps: Mutex::default(),
            minutes: Mutex::default(),
            connections: AtomicU64::new(0),
            most_connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            slots: AtomicU64::new(0),
        }
    }

    /// Counts a request.
    pub(super) fn request(&self, vendor: Vendor, step: Step, now: Instant) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        *steps.entry((vendor, step)).or_default() += 1;
        drop(steps);
        // JW Player's parts go to storage, not to the API.
        if vendor == Vendor::JwPlayer && step == Step::Part {
            return;
        }
        let minute = usize::try_from(now.duration_since(self.begun).as_secs() / 60).unwrap_or(0);
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = minutes.entry(vendor).or_default();
        if counts.len() <= minute {
            counts.resize(minute + 1, 0);
        }
        counts[minute] += 1;
    }

    pub(super) fn connected(&self) {
        let now = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_connections.fetch_max(now, Ordering::Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts part slots that a page of JW Player's list of parts had.
    pub(super) fn listed(&self, slots: usize) {
        self.slots.fetch_add(slots as u64, Ordering::Relaxed);
    }

    /// How many part slots all pages had together.
    pub(super) fn slots(&self) -> u64 {
        self.slots.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> BTreeMap<Vendor, BTreeMap<Step, u64>> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out: BTreeMap<Vendor, BTreeMap<Step, u64>> = BTreeMap::new();
        for ((vendor, step), count) in &*steps {
            out.entry(*vendor).or_default().insert(*step, *count);
        }
        out
    }

    /// API calls in each minute since the start.
    pub(super) fn minutes(&self) -> BTreeMap<Vendor, Vec<u64>> {
        self.minutes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Connections that stand now, the one that asks among them.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn most_connections(&self) -> u64 {
        self.most_connections.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
