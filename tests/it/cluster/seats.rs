//! How many clusters run at once, and on which ports.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// More at once take longer than one after the other: the build machines have two cores.
const SEATS: usize = 2;

/// Below the ports that Linux and macOS give to outgoing connections, so that none of those gets in between.
const PORTS: RangeInclusive<u16> = 10_500..=32_000;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to run a cluster, until it is dropped.
#[derive(Debug)]
pub struct Seat;

impl Seat {
    /// Waits until fewer than [`SEATS`] clusters run.
    pub fn take() -> Seat {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken == SEATS {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        Seat
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

/// A port on which nothing listens now, and which no other test of this process gets.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let size = PORTS.end() - PORTS.start() + 1;
    // Two test runs at the same time begin at different places.
    let first = (std::process::id().wrapping_mul(97) % u32::from(size)) as u16;
    for _ in 0..size {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start() + first.wrapping_add(step) % size;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
