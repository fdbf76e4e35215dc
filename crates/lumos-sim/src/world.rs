//! A world: what lies on the disk, who is outside, and the turns that everybody takes.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use lumos_engine::ports::Clock as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    Ground, Plan, Story,
    entropy::{Numbers, Seeded, SimClock},
    process::Process,
    registry::Moves,
    story::{self, Came},
    wait::finish,
    wire::Wire,
};

/// How often a world may stand still, waiting for its clock, before its story counts as stuck.
const STILL_MAX: usize = 400;
/// How often LUMOS may start anew in one story.
const STARTS_MAX: usize = 40;
/// When every story begins.
const MORNING: &str = "2026-03-01T09:00:00Z";

/// What is outside a process and outlives it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outside {
    folder: Arc<TempDir>,
    pub(crate) ground: Ground,
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) entropy: Arc<Seeded>,
    pub(crate) moves: Moves,
    story: Arc<Mutex<Story>>,
}

impl Outside {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.folder().join("models")
    }

    pub(crate) fn story(&self) -> Story {
        let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        story.clone()
    }
}

/// A world with its story.
pub struct World {
    pub(crate) outside: Outside,
    /// What it is on, past the wire: as whoever looks from elsewhere finds it.
    pub(crate) ground: Ground,
    pub(crate) published: Vec<Arc<[u8]>>,
    numbers: Option<Numbers>,
    /// How often LUMOS was started.
    pub starts: usize,
    _wire: Option<Wire>,
    // Last, so that it ends last: the store's readers, the wire and the disk work on its threads.
    runtime: Runtime,
}

/// Who takes turns while LUMOS runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Poll,
    Agent(usize),
    Notary,
    Timers,
    People,
}

const EVERYBODY: [Who; 7] = [
    Who::Poll,
    Who::Agent(0),
    Who::Agent(1),
    Who::Agent(2),
    Who::Notary,
    Who::Timers,
    Who::People,
];

type Turn = Pin<Box<dyn Future<Output = Result<()>>>>;

/// One of them, and how far they are with what they are doing.
struct Actor {
    who: Who,
    turn: Option<Turn>,
    /// What had changed in the world when their turn began.
    began: u64,
    /// What had changed when they last found nothing to do.
    idle_at: Option<u64>,
    /// Whether they begin, or begin again after a failure.
    fresh: bool,
}

/// Why the turns ended.
enum Ended {
    /// The story is told and nobody has anything to do.
    Told,
    /// The process is dead.
    Died,
}

impl World {
    /// A world in which writes fail as `plan` says. With a `seed`, it says who takes the next turn, and draws
    /// ids and salts; without one, everybody's turn comes in order.
    ///
    /// # Errors
    /// When there is no disk to put it on.
    pub fn new(plan: Plan, seed: Option<u64>) -> Result<Self> {
        Self::with(Story::ordinary(), plan, seed)
    }

    /// The same, with a story of its own.
    ///
    /// # Errors
    /// When there is no disk to put it on.
    pub fn with(story: Story, plan: Plan, seed: Option<u64>) -> Result<Self> {
        Self::on(Ground::Folder, story, plan, seed)
    }

    /// The same, on other ground. A database is reached over a wire that the plan can cut.
    ///
    /// # Errors
    /// When there is no disk to put it on, or no wire to the database.
    pub fn on(ground: Ground, story: Story, plan: Plan, seed: Option<u64>) -> Result<Self> {
        let morning: Timestamp = MORNING.parse()?;
        let shared = Path::new("/dev/shm");
        // Processes end here, machines do not: what memory holds is enough.
        let folder = if shared.is_dir() {
            tempfile::tempdir_in(shared)
        } else {
            tempfile::tempdir()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting the threads for disk work")?;
        let plan = Arc::new(plan);
        let (under, wire) = match &ground {
            Ground::Folder => (Ground::Folder, None),
            Ground::Database(settings) => {
                let _entered = runtime.enter();
                let (wire, settings) = Wire::to(settings, Arc::clone(&plan))?;
                (Ground::Database(settings), Some(wire))
            }
        };
        let outside = Outside {
            folder: Arc::new(folder.context("making a world's folder")?),
            ground: under,
            plan,
            clock: Arc::new(SimClock::new(morning)),
            entropy: Arc::new(Seeded::new(seed.unwrap_or(0))),
            moves: Moves::default(),
            story: Arc::new(Mutex::new(story)),
        };
        std::fs::create_dir_all(outside.models().join("triage"))?;
        Ok(Self {
            outside,
            ground,
            _wire: wire,
            published: Vec::new(),
            numbers: seed.map(Numbers::new),
            starts: 0,
            runtime,
        })
    }

    /// Its plan, and what became of it.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.outside.plan
    }

    /// The number of the first write that came when the last part of its story had begun.
    #[must_use]
    pub fn last_part(&self) -> usize {
        self.outside.story().before
    }

    pub(crate) const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Aliases that were moved in the registry, in order: alias, version, marker.
    #[must_use]
    pub fn moves(&self) -> Vec<(String, String, String)> {
        let moves = self.outside.moves.lock();
        moves.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lives until the story is told and nobody has anything left to do.
    ///
    /// # Errors
    /// When it gets stuck: that is a finding.
    pub fn live(&mut self) -> Result<()> {
        let runtime = self.runtime.handle().clone();
        let _entered = runtime.enter();
        while self.starts < STARTS_MAX {
            self.starts += 1;
            self.outside.plan.revive();
            // A start that fails ends the process; whoever watches over it starts it again.
            let Some(process) = self.start() else {
                continue;
            };
            match self.turns(&Arc::new(process))? {
                Ended::Told => return Ok(()),
                Ended::Died => {}
            }
        }
        bail!("LUMOS was started {STARTS_MAX} times and its story is not told")
    }

    fn start(&self) -> Option<Process> {
        let plan = &self.outside.plan;
        let holder = format!("process {}", self.starts);
        let mut starting = Box::pin(Process::start(self.outside.clone(), holder));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match starting.as_mut().poll(&mut context) {
                Poll::Ready(started) => return started.ok().filter(|_| !plan.is_dead()),
                Poll::Pending if plan.is_dead() => return None,
                Poll::Pending => {}
            }
        }
    }

    /// Everybody takes turns until the story is told or the process is dead.
    fn turns(&mut self, process: &Arc<Process>) -> Result<Ended> {
        let mut actors = EVERYBODY.map(|who| Actor {
            who,
            turn: None,
            began: 0,
            idle_at: None,
            fresh: true,
        });
        let mut still = 0;
        let mut next = 0;
        loop {
            let changes = self.outside.plan.changes();
            let awake = |actor: &Actor| actor.turn.is_some() || actor.idle_at != Some(changes);
            let awake: Vec<usize> = (0..actors.len()).filter(|n| awake(&actors[*n])).collect();
            if awake.is_empty() {
                if !self.wait(process)? {
                    return Ok(Ended::Told);
                }
                still += 1;
                if still > STILL_MAX {
                    let story = self.outside.story();
                    bail!("stuck at step {}: {}", story.done(), story.refused);
                }
                continue;
            }
            let chosen = match &mut self.numbers {
                Some(numbers) => awake[numbers.below(awake.len())],
                None => *awake.iter().find(|n| **n >= next).unwrap_or(&awake[0]),
            };
            next = (chosen + 1) % actors.len();
            self.poll(process, &mut actors[chosen]);
            self.collect(process);
            if self.outside.plan.is_dead() {
                return Ok(Ended::Died);
            }
        }
    }

    /// Lets one of them do something.
    fn poll(&self, process: &Arc<Process>, actor: &mut Actor) {
        let plan = &self.outside.plan;
        if actor.turn.is_none() {
            actor.began = plan.changes();
            actor.turn = Some(self.turn(process, actor.who, actor.fresh));
        }
        let Some(turn) = &mut actor.turn else { return };
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(done) = turn.as_mut().poll(&mut context) else {
            return;
        };
        actor.turn = None;
        actor.fresh = done.is_err();
        if actor.fresh {
            plan.changed();
        }
        let quiet = plan.changes() == actor.began;
        actor.idle_at = quiet.then_some(actor.began);
    }

    fn turn(&self, process: &Arc<Process>, who: Who, fresh: bool) -> Turn {
        let (process, outside) = (Arc::clone(process), self.outside.clone());
        Box::pin(async move {
            match who {
                Who::Poll => process.poll().await,
                Who::Agent(agent) => process.follow(agent, fresh).await,
                Who::Notary => Ok(process.notary.catch_up().await?),
                Who::Timers => process.fire().await,
                Who::People => {
                    let told = outside.story();
                    let came: Came = story::attempt(&process.door, &outside, &told).await?;
                    let mut story = outside.story.lock().unwrap_or_else(PoisonError::into_inner);
                    if story.came(came, outside.plan.writes().len()) {
                        outside.plan.changed();
                    }
                    Ok(())
                }
            }
        })
    }

    /// Nobody has anything to do: moves the clock to what is due next. False when that is nothing and the
    /// story is told.
    fn wait(&self, process: &Process) -> Result<bool> {
        let store = &process.door.ports().store;
        // What a process that ended had taken is due when its lease runs out, where nobody takes it over before.
        let sql = "SELECT MIN(CASE state WHEN 'taken' THEN lease_us ELSE due_us END) FROM jobs
                   WHERE state IN ('waiting', 'taken')";
        let rows = finish(store.query(sql, Vec::new()))?;
        let due = rows.first().and_then(|row| row.time(0));
        let signed = process.notary.published().borrow().size;
        let all = signed == finish(store.frontier())?.size();
        if due.is_none() && all && self.outside.story().is_told() {
            return Ok(false);
        }
        let later = self.outside.clock.now() + SignedDuration::from_secs(1);
        self.outside.clock.reach(due.unwrap_or(later).max(later));
        self.outside.plan.changed();
        Ok(true)
    }

    /// Keeps every checkpoint that was published.
    fn collect(&mut self, process: &Process) {
        let published = process.notary.published();
        let note = Arc::clone(&published.borrow().note);
        if !note.is_empty() && self.published.last() != Some(&note) {
            self.published.push(note);
        }
    }
}
