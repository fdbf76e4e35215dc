//! What waits for a second person: a list for pages and commands. What each proposal says is in its stream.

use jiff::Timestamp;
use lumos_domain::{
    event::Event,
    id::{PersonId, ProposalId},
    stream::Stream,
};

use super::statement;
use crate::ports::{PortError, Row, Statement, Store};

pub(super) const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS proposals (
    proposal TEXT PRIMARY KEY, person TEXT NOT NULL, made_us BIGINT NOT NULL, until_us BIGINT NOT NULL)"];

pub(super) fn project(stream: &Stream, event: &Event, time: Timestamp) -> Vec<Statement> {
    let Stream::Proposal(proposal) = stream else {
        return Vec::new();
    };
    match event {
        Event::ProposalMade(e) => vec![statement!(
            "INSERT INTO proposals (proposal, person, made_us, until_us) VALUES ($1, $2, $3, $4)
             ON CONFLICT (proposal) DO UPDATE SET
             person = excluded.person, made_us = excluded.made_us, until_us = excluded.until_us",
            proposal.as_str(),
            e.person.as_str(),
            time,
            e.until,
        )],
        Event::ProposalConfirmed(_) | Event::ProposalDeclined(_) => vec![statement!(
            "DELETE FROM proposals WHERE proposal = $1",
            proposal.as_str()
        )],
        _ => Vec::new(),
    }
}

/// A proposal that can still be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub proposal: ProposalId,
    /// Who made it.
    pub person: PersonId,
    /// When.
    pub made: Timestamp,
    /// Until when it waits.
    pub until: Timestamp,
}

/// What waits at `now`, the oldest first.
///
/// # Errors
/// When the store fails.
pub async fn waiting(store: &dyn Store, now: Timestamp) -> Result<Vec<Waiting>, PortError> {
    let rows = store
        .query(
            "SELECT proposal, person, made_us, until_us FROM proposals WHERE until_us > $1
             ORDER BY made_us, proposal",
            vec![now.into()],
        )
        .await?;
    let read = |row: &Row| {
        Some(Waiting {
            proposal: row.text(0).parse().ok()?,
            person: row.text(1).parse().ok()?,
            made: row.time(2)?,
            until: row.time(3)?,
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}
