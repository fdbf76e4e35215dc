//! Verification spread over the cores of one machine. It decides nothing: chunks are checked side by
//! side and folded in order.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{Chunk, Error, Report, Source, Trust, Verification};

/// Chunks a thread takes on average before the results are folded: bounds what is held in memory.
const CHUNKS_A_ROUND: u64 = 8;

/// Like [`super::verify`], on several threads. The answer is the same whatever their number.
///
/// # Errors
/// The first thing, in the order of the log, that does not agree.
pub fn verify_on<S: Source + Sync>(
    threads: NonZeroUsize,
    source: &S,
    trust: &Trust<'_>,
) -> Result<Report, Error> {
    verify_watched(threads, source, trust, |_| {})
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries checked.
    pub done: u64,
    /// Entries there are.
    pub of: u64,
}

/// Like [`verify_on`], and tells `watch` now and then, on the calling thread, how far it is.
///
/// # Errors
/// As [`verify_on`].
pub fn verify_watched<S: Source + Sync>(
    threads: NonZeroUsize,
    source: &S,
    trust: &Trust<'_>,
    mut watch: impl FnMut(Progress),
) -> Result<Report, Error> {
    let verification = Verification::open(source, trust)?;
    let of = verification.checkpoint().size();
    let mut fold = verification.fold();
    let round = CHUNKS_A_ROUND.saturating_mul(threads.get() as u64);
    let mut first = 0;
    while first < verification.chunks() {
        let end = verification.chunks().min(first.saturating_add(round));
        for chunk in check_all(&verification, first..end, threads) {
            fold.add(chunk?)?;
        }
        first = end;
        watch(Progress {
            done: fold.entries(),
            of,
        });
    }
    fold.finish()
}

/// Checks the chunks of one round; the results come back in order.
fn check_all<S: Source + Sync>(
    verification: &Verification<'_, S>,
    chunks: std::ops::Range<u64>,
    threads: NonZeroUsize,
) -> Vec<Result<Chunk, Error>> {
    let next = AtomicU64::new(chunks.start);
    let checked = Mutex::new(Vec::new());
    let work = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= chunks.end {
            break;
        }
        let result = verification.check(number);
        checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((number, result));
    };
    thread::scope(|scope| {
        for _ in 1..threads.get() {
            scope.spawn(work);
        }
        work();
    });
    let mut checked = checked.into_inner().unwrap_or_else(PoisonError::into_inner);
    checked.sort_by_key(|(number, _)| *number);
    checked.into_iter().map(|(_, result)| result).collect()
}
