//! How callers reach the one writer: alone, in the caller's own thread; together, through a queue that a
//! thread of the store's own empties in groups.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{mpsc, oneshot},
    task,
};

use super::writer::{JobError, Outcome, Work, Writer};

/// Jobs that share one commit at most.
const BATCH: usize = 512;

/// Jobs that wait at most; who comes later waits for a place.
const WAITING: usize = 1024;

/// What the writer is asked to do, and who waits for the outcome.
struct Job {
    work: Work,
    reply: oneshot::Sender<Answer>,
}

/// The outcome; beside it the work itself, so that its caller drops it and not the one thread that all
/// wait for.
type Answer = (Result<Outcome, JobError>, Work);

/// Dropping it waits for the work that was handed in.
pub(super) struct Queue {
    jobs: Option<mpsc::Sender<Job>>,
    writer: Arc<Mutex<Writer>>,
    /// Callers between their question and their answer.
    inside: AtomicUsize,
    thread: Option<thread::JoinHandle<()>>,
}

impl Queue {
    pub(super) fn start(writer: Writer) -> std::io::Result<Self> {
        let writer = Arc::new(Mutex::new(writer));
        let (jobs, waiting) = mpsc::channel(WAITING);
        let shared = writer.clone();
        let thread = thread::Builder::new()
            .name("lumos-store".to_owned())
            .spawn(move || empty(waiting, &shared))?;
        Ok(Self {
            jobs: Some(jobs),
            writer,
            inside: AtomicUsize::new(0),
            thread: Some(thread),
        })
    }

    /// Has the work done, durably.
    ///
    /// Who is alone does it in their own thread: waking the store's thread and being woken by it costs a
    /// third of a commit where cores are virtual and go to sleep at once.
    pub(super) async fn submit(&self, work: Work) -> Result<Outcome, JobError> {
        let (_inside, others) = Inside::enter(&self.inside);
        if others == 0
            && may_block()
            && let Some(writer) = self.idle_writer()?
        {
            return task::block_in_place(|| alone(writer, work));
        }
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(JobError::Stopped)?;
        jobs.send(Job { work, reply })
            .await
            .map_err(|_| JobError::Stopped)?;
        answer.await.map_err(|_| JobError::Stopped)?.0
    }

    fn idle_writer(&self) -> Result<Option<MutexGuard<'_, Writer>>, JobError> {
        match self.writer.try_lock() {
            Ok(writer) => Ok(Some(writer)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Poisoned(_)) => Err(JobError::Stopped),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store ended in a panic");
        }
    }
}

/// Counts a caller for as long as it waits, even when it is dropped meanwhile.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    /// Also says how many were there before.
    fn enter(count: &'a AtomicUsize) -> (Self, usize) {
        // Only a hint which way is faster: the lock is what keeps two from writing.
        let others = count.fetch_add(1, Ordering::Relaxed);
        (Self(count), others)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether this thread may wait for a disk: of the runtimes only the one with several threads lets others
/// go on meanwhile.
fn may_block() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

fn alone(mut writer: MutexGuard<'_, Writer>, work: Work) -> Result<Outcome, JobError> {
    let outcome = writer.work(&[work]).pop();
    outcome.unwrap_or(Err(JobError::Stopped))
}

/// Works until every sender is gone, or the writer panicked in some thread: whoever waits is then told.
fn empty(mut waiting: mpsc::Receiver<Job>, writer: &Mutex<Writer>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut jobs, BATCH) > 0 {
        let Ok(mut writer) = writer.lock() else {
            return;
        };
        // More may have come while another had the writer.
        while jobs.len() < BATCH
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        let (batch, replies): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.work, job.reply)).unzip();
        let outcomes = writer.work(&batch);
        drop(writer);
        for ((reply, work), outcome) in replies.into_iter().zip(batch).zip(outcomes) {
            // A caller that went away is no reason to stop: it can ask by command id.
            reply.send((outcome, work)).ok();
        }
    }
}
