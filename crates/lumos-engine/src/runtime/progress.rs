//! How far everybody is who follows the ledger, what they do now, and what they gave up.

use jiff::Timestamp;

use crate::{
    ports::{PortError, Row, Store, Value},
    record::LedgerEntry,
};

/// Dead letters and leases that are shown of one.
const SHOWN: i64 = 100;

/// An entry that is being worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The entry.
    pub entry: u64,
    /// Which attempt it is, over all rounds.
    pub attempt: i64,
    /// Until when it is theirs who took it, unless they renew it.
    pub until: Option<Timestamp>,
}

/// How far somebody is, for `lumos runtime list` and the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Who: one of LUMOS's agents, or `webhook:` or `stream:` and the name of an outside one.
    pub agent: String,
    /// The next entry they will look at.
    pub next: u64,
    /// Jobs that wait or are being done.
    pub waiting: u64,
    /// Those that are being done, at most 100.
    pub taken: Vec<Leased>,
    /// When the oldest entry was written that they have not dealt with.
    pub behind_since: Option<Timestamp>,
    /// The most attempts at a job that waits, and what went wrong the last time.
    pub troubled: Option<(i64, String)>,
    /// Since when nothing is done until an operator asks for it, and why.
    pub held: Option<(Timestamp, String)>,
    /// Dead letters: entry and problem, at most 100.
    pub dead: Vec<(u64, String)>,
    /// How many there are.
    pub dead_count: u64,
}

/// How far everybody is.
///
/// # Errors
/// When the store fails.
pub async fn progress(store: &dyn Store) -> Result<Vec<Progress>, PortError> {
    let cursors = store
        .query(
            "SELECT subscriber, next FROM cursors ORDER BY subscriber",
            Vec::new(),
        )
        .await?;
    let mut all = Vec::with_capacity(cursors.len());
    for row in &cursors {
        all.push(one(store, row.text(0), number(row, 1)).await?);
    }
    Ok(all)
}

fn number(row: &Row, at: usize) -> u64 {
    row.int(at)
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or(0)
}

async fn one(store: &dyn Store, agent: &str, next: u64) -> Result<Progress, PortError> {
    let by = || vec![Value::from(agent)];
    let counts = store
        .query(
            "SELECT state, COUNT(*), MIN(entry) FROM jobs WHERE subscriber = $1 GROUP BY state",
            by(),
        )
        .await?;
    let of = |state: &str| counts.iter().find(|row| row.text(0) == state);
    let count = |state: &str| of(state).map_or(0, |row| number(row, 1));
    let first = ["waiting", "taken"].into_iter().filter_map(of);
    let oldest = first.map(|row| number(row, 2)).fold(next, u64::min);
    Ok(Progress {
        agent: agent.to_owned(),
        next,
        waiting: count("waiting") + count("taken"),
        taken: taken(store, agent).await?,
        behind_since: written(store, oldest).await?,
        troubled: troubled(store, agent).await?,
        held: held(store, agent).await?,
        dead: dead(store, agent).await?,
        dead_count: count("dead"),
    })
}

/// When an entry was written; `None` when there is none yet.
async fn written(store: &dyn Store, index: u64) -> Result<Option<Timestamp>, PortError> {
    let stored = store.entries(index, 1).await?;
    let read = stored.first().map(LedgerEntry::read);
    Ok(read.and_then(Result::ok).map(|entry| entry.time))
}

async fn taken(store: &dyn Store, agent: &str) -> Result<Vec<Leased>, PortError> {
    let rows = store
        .query(
            "SELECT entry, attempts, lease_us FROM jobs WHERE subscriber = $1 AND state = 'taken'
             ORDER BY entry LIMIT $2",
            vec![agent.into(), SHOWN.into()],
        )
        .await?;
    let leased = |row: &Row| Leased {
        entry: number(row, 0),
        attempt: row.int(1).unwrap_or(0),
        until: row.time(2),
    };
    Ok(rows.iter().map(leased).collect())
}

async fn troubled(store: &dyn Store, agent: &str) -> Result<Option<(i64, String)>, PortError> {
    let rows = store
        .query(
            "SELECT attempts, problem FROM jobs
             WHERE subscriber = $1 AND state <> 'dead' AND problem IS NOT NULL
             ORDER BY attempts % $2 DESC, entry LIMIT 1",
            vec![agent.into(), super::jobs::ROUND.into()],
        )
        .await?;
    let troubled = |row: &Row| Some((row.int(0)? % super::jobs::ROUND, row.text(1).to_owned()));
    Ok(rows.first().and_then(troubled))
}

async fn held(store: &dyn Store, agent: &str) -> Result<Option<(Timestamp, String)>, PortError> {
    let rows = store
        .query(
            "SELECT since_us, problem FROM held WHERE subscriber = $1",
            vec![agent.into()],
        )
        .await?;
    let held = |row: &Row| Some((row.time(0)?, row.text(1).to_owned()));
    Ok(rows.first().and_then(held))
}

async fn dead(store: &dyn Store, agent: &str) -> Result<Vec<(u64, String)>, PortError> {
    let rows = store
        .query(
            "SELECT entry, problem FROM jobs WHERE subscriber = $1 AND state = 'dead'
             ORDER BY entry LIMIT $2",
            vec![agent.into(), SHOWN.into()],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (number(row, 0), row.text(1).to_owned()))
        .collect())
}
