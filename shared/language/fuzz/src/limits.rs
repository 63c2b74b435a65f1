//! What any input may cost: 100 ms of processor time and 100 MB beyond its own size.
//!
//! libFuzzer's own limits count seconds and the whole process; these count what one
//! input asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};

/// Processor time of one input, in milliseconds.
const MILLISECONDS: u128 = 100;
/// Coverage counters at every branch make a program this much slower.
const INSTRUMENTED: u128 = 3;
/// Bytes of the heap, beyond the input's own.
const BYTES: usize = 100_000_000;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn processor_time() -> u128 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u128 * 1_000_000 + now.tv_nsec as u128 / 1000
}

/// Runs one input.
///
/// # Panics
/// Where it cost too much: that is the finding.
pub fn within<T>(input: &[u8], run: impl FnOnce() -> T) -> T {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let started = processor_time();
    let done = run();
    let microseconds = processor_time() - started;
    let bytes = PEAK.load(Relaxed).saturating_sub(before);
    assert!(
        microseconds <= MILLISECONDS * INSTRUMENTED * 1000,
        "{} bytes took {microseconds} microseconds",
        input.len()
    );
    assert!(
        bytes <= BYTES + input.len(),
        "{} bytes took {bytes} bytes of memory",
        input.len()
    );
    done
}
