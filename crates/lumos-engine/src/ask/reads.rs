//! What was read in bulk: the log of who looked.

use lumos_domain::event::Event;

use super::{Cell, Period, Table, listed};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &["lumos.reading.recorded.v1"];

const COLUMNS: &[&str] = &["when", "entry", "what", "of", "entries", "by", "digest"];

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    listed(COLUMNS, entries, period, row)
}

fn row(entry: &LedgerEntry) -> Option<Vec<Cell>> {
    let Event::ReadingRecorded(e) = &entry.event else {
        return None;
    };
    Some(vec![
        Cell::Time(entry.time),
        Cell::Entry(entry.index),
        Cell::text(e.reading),
        Cell::text(&e.about),
        Cell::text(e.size),
        Cell::Actor(entry.actor.clone()),
        e.digest.map_or(Cell::Nothing, Cell::text),
    ])
}
