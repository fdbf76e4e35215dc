//! Whose names were erased, who asked for it, and what kept them: with the periods and holds that were changed.

use lumos_domain::{event::Event, stream::Stream};

use super::{Cell, Period, Table, listed};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.erasure.requested.v1",
    "lumos.erasure.postponed.v1",
    "lumos.erasure.withdrawn.v1",
    "lumos.erasure.carried_out.v1",
    "lumos.retention.set.v1",
    "lumos.hold.set.v1",
    "lumos.hold.lifted.v1",
];

const COLUMNS: &[&str] = &["when", "entry", "what", "of", "by", "until"];

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    listed(COLUMNS, entries, period, row)
}

fn row(entry: &LedgerEntry) -> Option<Vec<Cell>> {
    let whose = match &entry.stream {
        Stream::Person(person) => Cell::People(vec![person.clone()]),
        _ => Cell::Nothing,
    };
    let (what, of, until) = match &entry.event {
        Event::ErasureRequested(e) => ("asked for".to_owned(), whose, Cell::Time(e.due)),
        Event::ErasurePostponed(e) => {
            let what = format!("waits on: {} keeps the name", e.kept.record);
            (what, whose, Cell::Time(e.due))
        }
        Event::ErasureWithdrawn(_) => ("taken back".to_owned(), whose, Cell::Nothing),
        Event::ErasureCarriedOut(e) => {
            let what = format!("carried out: {} sealed fields", e.values);
            (what, whose, Cell::Nothing)
        }
        Event::RetentionSet(e) => {
            let what = format!("period changed from {} to {} days", e.was_days, e.days);
            (what, Cell::text(e.class), Cell::Nothing)
        }
        Event::HoldSet(e) => ("hold set".to_owned(), Cell::text(&e.scope), Cell::Nothing),
        Event::HoldLifted(e) => ("hold lifted".to_owned(), Cell::text(&e.hold), Cell::Nothing),
        _ => return None,
    };
    Some(vec![
        Cell::Time(entry.time),
        Cell::Entry(entry.index),
        Cell::Text(what),
        of,
        Cell::Actor(entry.actor.clone()),
        until,
    ])
}
