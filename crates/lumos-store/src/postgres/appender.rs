//! The one of this replica that appends: it puts the appends of many callers into one transaction, under the lock of
//! the head that all replicas share. After an outcome that nobody knows, as when the connection is lost at the commit,
//! it looks under that lock before it does anything again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deadpool_postgres::ClientWrapper;
use lumos_engine::ports::Appended;
use lumos_ledger::{Frontier, Hash};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task, time,
};

use super::{
    announce,
    connect::{Address, Use},
    failure::{Failure, words},
    look::{self, Commands, Remembered},
    pipeline::in_order,
    plan::Verdict,
    rows::{self, Columns},
    safety,
    version::Tables,
};
use crate::{OpenError, ready::Ready};

/// Jobs that share one commit at most.
const BATCH: usize = 512;
/// Jobs that wait at most; who comes later waits for a place.
pub(super) const WAITING: usize = 1024;
/// How long one transaction may take, a wait for a standby included.
const TRANSACTION: Duration = Duration::from_secs(30);
/// Pauses before a batch is tried again on a new connection, in milliseconds: as long as a server takes to start
/// again or a standby to take over, and no longer than callers can wait.
const PAUSES_MS: &[u64] = &[
    0, 50, 100, 200, 400, 800, 1_500, 1_500, 1_500, 1_500, 1_500, 1_500,
];

/// A change that says nothing: its commit waits for the standby, and with it for everything before it.
const TOUCH: &str = "UPDATE head SET size = size WHERE one = 1";

/// An append and who waits for its outcome.
pub(super) struct Job {
    pub(super) append: Ready,
    pub(super) reply: oneshot::Sender<Answer>,
}

pub(super) type Answer = Result<Appended, Failure>;

/// How a transaction guards against an append that is refused after it wrote, as when a login is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Not at all: it is rare, and then the whole transaction is done again with savepoints.
    Hope,
    /// Each append in a savepoint.
    Savepoints,
}

/// The appending connection, and what is known of the database behind it.
pub(super) struct Appender {
    address: Address,
    accept_loss: bool,
    client: Option<ClientWrapper>,
    /// Event types known to be committed.
    kinds: BTreeSet<&'static str>,
    remembered: Remembered,
    /// INVARIANT: the longest ledger that this process has seen committed; a head before it or beside it is that of
    /// a server that lost entries.
    seen: Frontier,
    /// Whether a commit was sent and never answered.
    unknown: bool,
    committed: Arc<watch::Sender<u64>>,
    tables: Arc<Tables>,
}

impl Appender {
    pub(super) fn new(
        address: Address,
        accept_loss: bool,
        seen: Frontier,
        committed: Arc<watch::Sender<u64>>,
        tables: Arc<Tables>,
    ) -> Self {
        Self {
            address,
            accept_loss,
            client: None,
            kinds: BTreeSet::new(),
            remembered: Remembered::default(),
            seen,
            unknown: false,
            committed,
            tables,
        }
    }

    /// Works until every sender is gone.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut jobs, BATCH).await > 0 {
            fill(&mut waiting, &mut jobs).await;
            let (batch, replies): (Vec<_>, Vec<_>) =
                jobs.drain(..).map(|job| (job.append, job.reply)).unzip();
            let answers = self.work(&batch).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // A caller that went away is no reason to stop: it can ask by command id.
                reply.send(answer).ok();
            }
        }
    }

    /// Does the batch in one transaction, with an answer for each append in order. What failed with all that shared
    /// the transaction says so in each.
    async fn work(&mut self, batch: &[Ready]) -> Vec<Answer> {
        let mut failure = Failure::Stopped;
        for pause in PAUSES_MS {
            // Even the shortest sleep lasts until the clock's next tick.
            if *pause > 0 {
                time::sleep(Duration::from_millis(*pause)).await;
            }
            let done = time::timeout(TRANSACTION, self.transact(batch)).await;
            failure = match done.unwrap_or(Err(Failure::Late)) {
                Ok(answers) => return answers,
                Err(failure) => failure,
            };
            // Whatever its transaction had done is rolled back, or was committed and is found by command id.
            self.client = None;
            self.kinds.clear();
            self.remembered = Remembered::default();
            tracing::error!(problem = words(&failure), "a batch of appends failed");
            if !failure.may_pass() {
                break;
            }
        }
        if self.unknown {
            failure = Failure::Unknown(Box::new(failure));
        }
        let failure = Arc::new(failure);
        let failed = |_| Err(Failure::Batch(Arc::clone(&failure)));
        batch.iter().map(failed).collect()
    }

    async fn transact(&mut self, batch: &[Ready]) -> Result<Vec<Answer>, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        let answers = match self.attempt(&client, batch, Care::Hope).await {
            Err(Failure::Again) => {
                client.batch_execute("ROLLBACK").await?;
                self.attempt(&client, batch, Care::Savepoints).await?
            }
            answers => answers?,
        };
        self.client = Some(client);
        Ok(answers)
    }

    /// A new connection may lead to another server: what it promises is looked at again.
    async fn connect(&self) -> Result<ClientWrapper, Failure> {
        let unfit = |error: OpenError| match error {
            error @ OpenError::Postgres { .. } => Failure::Unreachable(words(&error)),
            error => Failure::Unfit(error.to_string()),
        };
        let client = self.address.connect(Use::Append).await.map_err(unfit)?;
        safety::check(&client, self.accept_loss)
            .await
            .map_err(unfit)?;
        Ok(client)
    }

    /// Does the whole batch in one transaction, with an answer for each append in order. An error means that none
    /// of it can be relied on.
    async fn attempt(
        &mut self,
        client: &ClientWrapper,
        batch: &[Ready],
        care: Care,
    ) -> Result<Vec<Answer>, Failure> {
        let commands = match care {
            Care::Hope if !self.unknown => Commands::OnDoubt,
            _ => Commands::All,
        };
        let mut ledger = look::lock(
            client,
            batch,
            commands,
            &self.tables,
            &mut self.remembered,
            &self.seen,
        )
        .await?;
        self.compare(&ledger.frontier)?;
        let before = ledger.frontier.size();
        let (mut answers, mut writes) = (Vec::with_capacity(batch.len()), Vec::new());
        for append in batch {
            answers.push(match ledger.judge(append) {
                Verdict::Landed(appended) => Ok(appended),
                Verdict::Refused(failure) => Err(failure),
                Verdict::Write(first) if care == Care::Hope => {
                    writes.push((append, first));
                    Ok(ledger.take(append))
                }
                Verdict::Write(first) => match self.carefully(client, (append, first)).await {
                    Ok(()) => {
                        writes.push((append, first));
                        Ok(ledger.take(append))
                    }
                    Err(failure) if failure.is_fatal() => return Err(failure),
                    Err(failure) => Err(failure),
                },
            });
        }
        if commands == Commands::OnDoubt {
            repeated(client, batch, &mut answers).await?;
        }
        let unwritten = match care {
            Care::Hope => Columns::of(&writes, &self.kinds),
            Care::Savepoints => Columns::default(),
        };
        let leaves: Vec<Hash> = writes
            .iter()
            .flat_map(|(append, _)| leaves(append))
            .collect();
        let write = async {
            let mut sending = rows::write(client, &unwritten).await?;
            if !leaves.is_empty() {
                let finish = rows::finish(client, before, &ledger.frontier, &leaves);
                sending.extend(finish.await?);
            }
            in_order(sending).await.into_iter().collect()
        };
        let written: Result<(), Failure> = write.await;
        written.map_err(|failure| match failure {
            failure if care == Care::Savepoints || failure.is_fatal() => failure,
            _ => Failure::Again,
        })?;
        if leaves.is_empty() && self.unknown {
            client.batch_execute(TOUCH).await?;
        }
        self.commit(client).await?;
        let kinds = writes.iter().flat_map(|(append, _)| &append.entries);
        self.kinds.extend(kinds.map(|entry| entry.kind));
        announce(&self.committed, ledger.frontier.size());
        self.seen = ledger.frontier;
        self.remembered.keep(ledger.versions);
        Ok(answers)
    }

    async fn commit(&mut self, client: &ClientWrapper) -> Result<(), Failure> {
        let commit = client.prepare_cached("COMMIT").await?;
        self.unknown = true;
        match client.execute(&commit, &[]).await.map_err(Failure::from) {
            Ok(_) => {
                self.unknown = false;
                Ok(())
            }
            Err(failure) => {
                // Answered is known: it did not happen. A server that ended meanwhile answers nothing of the kind.
                self.unknown = failure.is_of_ending();
                Err(failure)
            }
        }
    }

    /// Writes one append in a savepoint; its own failure leaves what was written before it alone.
    async fn carefully(&self, client: &ClientWrapper, write: (&Ready, u64)) -> Result<(), Failure> {
        client.batch_execute("SAVEPOINT job").await?;
        let columns = Columns::of(&[write], &self.kinds);
        let written = async {
            let sending = rows::write(client, &columns).await?;
            in_order(sending).await.into_iter().collect()
        };
        match written.await {
            Ok(()) => Ok(client.batch_execute("RELEASE job").await?),
            Err(failure) if failure.is_fatal() => Err(failure),
            // The head was locked and everything looked at: nothing of the ledger's own can be taken.
            Err(failure) if failure.is_taken() => Err(Failure::Damaged(failure.to_string())),
            Err(failure) => {
                client.batch_execute("ROLLBACK TO job; RELEASE job").await?;
                Err(failure)
            }
        }
    }

    /// A head before the one that was seen, or beside it, is that of a server which lost what was acknowledged.
    fn compare(&self, frontier: &Frontier) -> Result<(), Failure> {
        let (now, seen) = (frontier.size(), self.seen.size());
        if now < seen {
            return Err(Failure::WentBack(format!(
                "it has {now} entries and had {seen}"
            )));
        }
        if now == seen && frontier.root() != self.seen.root() {
            return Err(Failure::WentBack(format!(
                "its {now} entries are not those that it had"
            )));
        }
        Ok(())
    }
}

/// Lets those in who were answered a moment ago: they come back at once, and a commit costs more than a look.
async fn fill(waiting: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>) {
    loop {
        task::yield_now().await;
        let room = BATCH.saturating_sub(jobs.len());
        if room == 0 || waiting.is_empty() {
            return;
        }
        waiting.recv_many(jobs, room).await;
    }
}

/// What does not fit may have been done before, and is then answered as it was.
async fn repeated(
    client: &ClientWrapper,
    batch: &[Ready],
    answers: &mut [Answer],
) -> Result<(), Failure> {
    let refused = batch.iter().zip(&*answers);
    let refused: Vec<&Ready> = refused
        .filter_map(|(append, answer)| answer.is_err().then_some(append))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let landed = look::landed_of(client, &refused).await?;
    for (append, answer) in batch.iter().zip(answers) {
        if let (Err(_), Some(appended)) = (&*answer, landed.get(&append.command_id)) {
            *answer = Ok(*appended);
        }
    }
    Ok(())
}

fn leaves(append: &Ready) -> impl Iterator<Item = Hash> {
    append.entries.iter().map(|entry| entry.leaf)
}
