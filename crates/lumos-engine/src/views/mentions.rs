//! Which streams name whom: where to look when somebody is to be erased. Ids only, no names.

use lumos_domain::{
    actor::Actor,
    erasure::{Entry, Records, names},
    event::Event,
    id::PersonId,
    stream::Stream,
};

use super::statement;
use crate::{
    door::{Door, DoorError},
    ports::{PortError, Statement, Store},
};

pub(super) const SCHEMA: &[&str] = &["CREATE TABLE IF NOT EXISTS mentions (
    person TEXT NOT NULL, stream TEXT NOT NULL, PRIMARY KEY (person, stream))"];

pub(super) fn project(stream: &Stream, actor: &Actor, event: &Event) -> Vec<Statement> {
    let row = |person: PersonId| {
        statement!(
            "INSERT INTO mentions (person, stream) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            person.as_str(),
            stream.to_string(),
        )
    };
    names(actor, event).into_iter().map(row).collect()
}

/// The streams that name `person`, their own among them.
///
/// # Errors
/// When the store fails.
pub async fn of(store: &dyn Store, person: &PersonId) -> Result<Vec<Stream>, PortError> {
    let rows = store
        .query(
            "SELECT stream FROM mentions WHERE person = $1 ORDER BY stream",
            vec![person.as_str().into()],
        )
        .await?;
    let own = Stream::Person(person.clone());
    let named = rows.iter().filter_map(|row| row.text(0).parse().ok());
    let others = named.filter(|stream| *stream != own);
    Ok(std::iter::once(own.clone()).chain(others).collect())
}

/// Everything that names `person`, read from those streams.
///
/// # Errors
/// When the store fails or an entry cannot be read.
pub async fn records(door: &Door, person: &PersonId) -> Result<Records, DoorError> {
    let mut records = Records::default();
    for stream in of(&*door.ports().store, person).await? {
        let history = door.history(&stream).await?;
        let entries = history.iter().map(|entry| Entry {
            time: entry.time,
            actor: &entry.actor,
            event: &entry.event,
        });
        let entries: Vec<_> = entries.collect();
        records.add(person, &stream, &entries);
    }
    Ok(records)
}
