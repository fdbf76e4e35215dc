//! The auditor's live questions, answered from the ledger's entries alone: each is one function from entries to a
//! table, so that whoever has an export can check the answer line by line.

use std::{collections::VecDeque, str::FromStr};

use jiff::Timestamp;
use lumos_domain::{actor::Actor, event::Event, id::PersonId, words::Reading};

use crate::{
    door::DoorError,
    ports::{PortError, Store, StoredEntry},
    record::LedgerEntry,
};

mod bypass;
pub mod changes;
mod erased;
pub mod log_reviews;
mod overdue;
mod reads;
mod refused;
mod reviewers;
mod who;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Who may do what, and since when.
    Who,
    /// What came to run, and on whose word.
    Changes,
    /// What was refused.
    Refused,
    /// What went past the ordinary way.
    Bypass,
    /// What was read in bulk.
    Reads,
    /// Whose names were erased, and what keeps names.
    Erased,
    /// Whether the log was reviewed.
    LogReviews,
    /// What waits beyond its time.
    Overdue,
    /// How people decide.
    Reviewers,
}

impl Question {
    /// Every question.
    pub const ALL: [Self; 9] = [
        Self::Who,
        Self::Changes,
        Self::Refused,
        Self::Bypass,
        Self::Reads,
        Self::Erased,
        Self::LogReviews,
        Self::Overdue,
        Self::Reviewers,
    ];

    /// The word it is asked by.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Who => "who",
            Self::Changes => "changes",
            Self::Refused => "refused",
            Self::Bypass => "bypass",
            Self::Reads => "reads",
            Self::Erased => "erased",
            Self::LogReviews => "log-reviews",
            Self::Overdue => "overdue",
            Self::Reviewers => "reviewers",
        }
    }

    /// What its answer shows, and what LUMOS cannot see.
    #[must_use]
    pub const fn explained(self) -> &'static str {
        match self {
            Self::Who => {
                "Who may do what at the end of the period, through which role, and which entry gave it. Who can reach the \
                 machine or its database is not in here; witnesses are there for them."
            }
            Self::Changes => {
                "Every release that an agent or environment came to run in the period, those first that something is wrong \
                 with: approved before it ran, by others than its authors and whoever deployed it, and the same digest. What \
                 runs where LUMOS is not asked, it cannot see."
            }
            Self::Refused => {
                "Everything that was refused in the period: signatures that said no, reviews that ended without approval, \
                 runs that were denied (the first of its kind in each hour), proposals that were declined, bytes that changed \
                 under a known version."
            }
            Self::Bypass => {
                "Everything in the period that let something through with less than the ordinary way: denials only observed, \
                 approvals without people or in a sandbox, changes that loosen who signs or what runs, stopped systems that \
                 run again. There is no way past LUMOS in LUMOS; where it is not asked, it cannot see."
            }
            Self::Reads => {
                "Everything in the period that was read in bulk: evidence packs with their digests, exports, verifications, \
                 entries read as tiles, answers that named people. Single pages leave no entry; who read the machine's files or \
                 its database, LUMOS cannot see."
            }
            Self::Erased => {
                "Whose names were erased in the period or wait to be, who asked, what kept them; and the periods and legal \
                 holds that were changed. Copies of the database and packs that left the house, LUMOS cannot erase."
            }
            Self::LogReviews => {
                "Who examined which entries of the log in the period, what was found, and what was missed; with how often it was \
                 asked for. Whoever signed was shown what there was; how well they looked, LUMOS cannot see."
            }
            Self::Overdue => {
                "What waits beyond its time at the end of the period: reviews, reviews of the log, and proposals that lapsed in \
                 the period. Nothing is approved by waiting."
            }
            Self::Reviewers => {
                "How each person decided in the period: signatures, how many of them approved, and how long after the record as \
                 it was signed could be read. Whether somebody read, LUMOS cannot see; that they had no time to, it can."
            }
        }
    }

    /// Whether a pack about a period holds the answer. The others rest on every vote and review of the house, of which a
    /// pack holds those that it is about; and the changes have a place of their own.
    pub(crate) const fn is_in_packs(self) -> bool {
        !matches!(self, Self::Changes | Self::Overdue | Self::Reviewers)
    }

    /// Whether the answer rests on the entry, of the types that it is answered from. What is only listed is wanted for the
    /// period alone.
    fn wants(self, entry: &LedgerEntry, period: &Period) -> bool {
        let inside = match (self, &entry.event) {
            (Self::Refused | Self::Reads | Self::Erased, _)
            | (Self::Reviewers, Event::Signed(_) | Event::LogReviewed(_)) => true,
            (Self::Bypass, event) => !matches!(event, Event::ProposalMade(_)),
            (Self::LogReviews, Event::ReadingRecorded(e)) if e.reading != Reading::LogReview => {
                return false;
            }
            _ => false,
        };
        entry.time < period.to && (!inside || period.holds(entry))
    }

    /// The types of the entries that it is answered from.
    pub(crate) const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Who => who::KINDS,
            Self::Changes => changes::KINDS,
            Self::Refused => refused::KINDS,
            Self::Bypass => bypass::KINDS,
            Self::Reads => reads::KINDS,
            Self::Erased => erased::KINDS,
            Self::LogReviews => log_reviews::KINDS,
            Self::Overdue => overdue::KINDS,
            Self::Reviewers => reviewers::KINDS,
        }
    }

    /// The answer, from entries of those types in the order of the ledger.
    pub(crate) fn answered(self, entries: &[LedgerEntry], period: &Period) -> Table {
        let mut answer = self.begin(*period);
        entries.iter().for_each(|entry| answer.follow(entry));
        answer.table()
    }

    /// The answer before any entry was looked at.
    fn begin(self, period: Period) -> Box<dyn Answer> {
        let kept = |from| Box::new(Kept::of(period, from)) as Box<dyn Answer>;
        match self {
            Self::Changes => Box::new(changes::Changes::of(period)),
            Self::Overdue => Box::new(overdue::Overdue::of(period)),
            Self::Reviewers => Box::new(reviewers::Reviewers::of(period)),
            Self::LogReviews => Box::new(log_reviews::LogReviews::of(period)),
            Self::Who => kept(who::answer),
            Self::Refused => kept(refused::answer),
            Self::Bypass => kept(bypass::answer),
            Self::Reads => kept(reads::answer),
            Self::Erased => kept(erased::answer),
        }
    }
}

/// An answer on its way: it takes in the entries that it rests on, in the order of the ledger, and keeps what it will tell
/// and what is open, so that it takes the room of that and not of all there ever was.
trait Answer: Send {
    fn follow(&mut self, entry: &LedgerEntry);

    fn table(self: Box<Self>) -> Table;
}

/// An answer that rests on few entries but those that it tells, and keeps them.
struct Kept {
    period: Period,
    entries: Vec<LedgerEntry>,
    from: fn(&[LedgerEntry], &Period) -> Table,
}

impl Kept {
    const fn of(period: Period, from: fn(&[LedgerEntry], &Period) -> Table) -> Self {
        Self {
            period,
            entries: Vec::new(),
            from,
        }
    }
}

impl Answer for Kept {
    fn follow(&mut self, entry: &LedgerEntry) {
        self.entries.push(entry.clone());
    }

    fn table(self: Box<Self>) -> Table {
        (self.from)(&self.entries, &self.period)
    }
}

/// A row for each entry inside the period that means one.
fn listed(
    columns: &'static [&'static str],
    entries: &[LedgerEntry],
    period: &Period,
    row: fn(&LedgerEntry) -> Option<Vec<Cell>>,
) -> Table {
    let inside = entries.iter().filter(|entry| period.holds(entry));
    Table {
        columns,
        rows: inside.filter_map(row).collect(),
    }
}

/// Every question, as a sentence names them.
pub const QUESTIONS: &str =
    "who, changes, refused, bypass, reads, erased, log-reviews, overdue or reviewers";

/// Not a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no question; ask {QUESTIONS}")]
pub struct UnknownQuestion(String);

impl FromStr for Question {
    type Err = UnknownQuestion;

    fn from_str(text: &str) -> Result<Self, UnknownQuestion> {
        let mut all = Self::ALL.into_iter();
        all.find(|question| question.as_str() == text)
            .ok_or_else(|| UnknownQuestion(text.chars().take(64).collect()))
    }
}

/// From one instant to another, the second not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

impl Period {
    pub(crate) fn holds(&self, entry: &LedgerEntry) -> bool {
        (self.from..self.to).contains(&entry.time)
    }
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing is known.
    Nothing,
    /// Words.
    Text(String),
    /// An instant.
    Time(Timestamp),
    /// A ledger index, from 0.
    Entry(u64),
    /// Whoever acted.
    Actor(Actor),
    /// People.
    People(Vec<PersonId>),
    /// A check that holds or does not.
    Holds(bool),
}

impl Cell {
    fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What each column holds.
    pub columns: &'static [&'static str],
    /// Rows, each as long as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Rows that hold a check which does not hold.
    #[must_use]
    pub fn wrong(&self) -> usize {
        self.rows.iter().filter(|row| is_wrong(row)).count()
    }
}

fn is_wrong(row: &[Cell]) -> bool {
    row.contains(&Cell::Holds(false))
}

/// Answers a question about a period.
///
/// # Errors
/// When the store fails, or holds an entry that this version cannot read.
pub async fn ask(
    store: &dyn Store,
    question: Question,
    period: &Period,
) -> Result<Table, DoorError> {
    let mut answer = question.begin(*period);
    let kinds = question.kinds().iter();
    let mut kinds: Vec<OfKind> = kinds.map(|kind| OfKind::of(kind)).collect();
    loop {
        for kind in &mut kinds {
            kind.read_on(store).await?;
        }
        let next = kinds.iter_mut().filter_map(|kind| {
            let index = kind.page.front()?.index;
            Some((index, kind))
        });
        let next = next.min_by_key(|(index, _)| *index);
        let Some(stored) = next.and_then(|(_, kind)| kind.page.pop_front()) else {
            return Ok(answer.table());
        };
        let entry = LedgerEntry::read(&stored)?;
        if question.wants(&entry, period) {
            answer.follow(&entry);
        }
    }
}

/// The entries of a type, in the order of the ledger, of which a page is in memory.
struct OfKind {
    kind: &'static str,
    after: i64,
    page: VecDeque<StoredEntry>,
    ended: bool,
}

impl OfKind {
    const fn of(kind: &'static str) -> Self {
        Self {
            kind,
            after: -1,
            page: VecDeque::new(),
            ended: false,
        }
    }

    /// Reads a page, if none is left.
    async fn read_on(&mut self, store: &dyn Store) -> Result<(), PortError> {
        if self.ended || !self.page.is_empty() {
            return Ok(());
        }
        let sql =
            "SELECT idx, bytes FROM entries WHERE kind = $1 AND idx > $2 ORDER BY idx LIMIT 100";
        let params = vec![self.kind.into(), self.after.into()];
        let rows = store.query(sql, params).await?;
        self.page = rows.into_iter().filter_map(StoredEntry::of_row).collect();
        match self.page.back() {
            Some(last) => self.after = i64::try_from(last.index).unwrap_or(i64::MAX),
            None => self.ended = true,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
