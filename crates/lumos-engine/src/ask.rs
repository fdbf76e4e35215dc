//! The auditor's live questions, answered from the ledger's entries alone: each is one function from entries to a
//! table, so that whoever has an export can check the answer line by line.

use std::str::FromStr;

use jiff::Timestamp;
use lumos_domain::{actor::Actor, event::Event, id::PersonId, words::Reading};

use crate::{
    door::DoorError,
    ports::{PortError, Store, StoredEntry, Value},
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

    /// Whether the answer rests on the entry, of the types that it is answered from. What is only listed is kept for the
    /// period alone, so that an answer takes the room of what it tells, not of all there ever was.
    fn wants(self, entry: &LedgerEntry, period: &Period) -> bool {
        let inside = match (self, &entry.event) {
            (Self::Refused | Self::Reads | Self::Erased, _)
            | (Self::Reviewers, Event::Signed(_) | Event::LogReviewed(_)) => true,
            (Self::LogReviews, Event::ReadingRecorded(e)) if e.reading != Reading::LogReview => {
                return false;
            }
            _ => false,
        };
        entry.time < period.to && (!inside || period.holds(entry))
    }

    /// The types of the entries that it is answered from.
    pub(crate) const fn kinds(self) -> &'static [&'static str] {
        self.answer().0
    }

    /// The answer, from entries of those types in the order of the ledger.
    pub(crate) fn answered(self, entries: &[LedgerEntry], period: &Period) -> Table {
        self.answer().1(entries, period)
    }

    const fn answer(self) -> (&'static [&'static str], Answer) {
        match self {
            Self::Who => (who::KINDS, who::answer),
            Self::Changes => (changes::KINDS, changes::answer),
            Self::Refused => (refused::KINDS, refused::answer),
            Self::Bypass => (bypass::KINDS, bypass::answer),
            Self::Reads => (reads::KINDS, reads::answer),
            Self::Erased => (erased::KINDS, erased::answer),
            Self::LogReviews => (log_reviews::KINDS, log_reviews::answer),
            Self::Overdue => (overdue::KINDS, overdue::answer),
            Self::Reviewers => (reviewers::KINDS, reviewers::answer),
        }
    }
}

/// From the entries of certain types up to the end of a period to the answer.
type Answer = fn(&[LedgerEntry], &Period) -> Table;

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
    let (kinds, answer) = question.answer();
    let mut entries = Vec::new();
    for kind in kinds {
        let mut after = -1;
        loop {
            let page = of_kind(store, kind, after).await?;
            let Some(last) = page.last() else { break };
            after = i64::try_from(last.index).unwrap_or(i64::MAX);
            for stored in &page {
                let entry = LedgerEntry::read(stored)?;
                if question.wants(&entry, period) {
                    entries.push(entry);
                }
            }
        }
    }
    entries.sort_unstable_by_key(|entry| entry.index);
    Ok(answer(&entries, period))
}

/// The next entries of a type after ledger index `after`, a page of them.
async fn of_kind(store: &dyn Store, kind: &str, after: i64) -> Result<Vec<StoredEntry>, PortError> {
    let sql = "SELECT idx, bytes FROM entries WHERE kind = $1 AND idx > $2 ORDER BY idx LIMIT 1000";
    let rows = store.query(sql, vec![kind.into(), after.into()]).await?;
    let stored = rows.into_iter().filter_map(|row| {
        let index = u64::try_from(row.int(0)?).ok()?;
        let mut cells = row.0.into_iter();
        match cells.nth(1) {
            Some(Value::Bytes(bytes)) => Some(StoredEntry { index, bytes }),
            _ => None,
        }
    });
    Ok(stored.collect())
}

#[cfg(test)]
mod tests;
