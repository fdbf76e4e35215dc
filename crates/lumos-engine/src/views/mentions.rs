//! Which streams name whom: where to look when somebody is to be erased. Ids only, no names.

use lumos_domain::{
    actor::Actor,
    erasure::{Entry, Records, names, sealed},
    event::Event,
    id::PersonId,
    stream::Stream,
};

use super::{CHUNK, people, statement};
use crate::{
    door::{Door, DoorError},
    ports::{PortError, Statement, Store},
    record::LedgerEntry,
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

/// The entries of others in whose free text the name or the login of `person` stands, whole and in any case. Other
/// ways to name somebody cannot be found: a nickname, a first name alone, a misspelling. Reads the whole ledger.
///
/// # Errors
/// When the store fails or an entry cannot be read.
pub async fn texts(door: &Door, person: &PersonId) -> Result<Vec<u64>, DoorError> {
    let store = &door.ports().store;
    let own = records(door, person).await?;
    let Some(row) = people::by_id(&**store, person).await? else {
        return Ok(Vec::new());
    };
    let names = store.unseal(&[row.name, row.login]).await?;
    let names: Vec<String> = names
        .into_iter()
        .flatten()
        .map(|n| n.to_lowercase())
        .collect();
    let (mut found, mut next) = (Vec::new(), 0);
    loop {
        let stored = store.entries(next, CHUNK).await?;
        let Some(last) = stored.last() else {
            return Ok(found);
        };
        next = last.index + 1;
        for entry in &stored {
            let texts = sealed(&LedgerEntry::read(entry)?.event);
            let others = texts
                .into_iter()
                .filter(|text| !own.values().contains(text));
            let others: Vec<_> = others.collect();
            let texts = store.unseal(&others).await?;
            let names_them = |text: &String| {
                let text = text.to_lowercase();
                names.iter().any(|name| stands_in(name, &text))
            };
            if texts.iter().flatten().any(names_them) {
                found.push(entry.index);
            }
        }
    }
}

/// Whether `name` stands in `text` as a word of its own, not as a part of another.
fn stands_in(name: &str, text: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            !inside(text[..at].chars().next_back())
                && !inside(text[at + name.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_word() {
        for (name, text, found) in [
            ("ann", "asked ann.", true),
            ("ann", "the annual report", false),
            ("ann", "annual, says ann", true),
            ("ann lee", "as ann lee said", true),
            ("ann lee", "as ann said", false),
            ("žofie", "(žofie)", true),
            ("", "anything", false),
        ] {
            assert_eq!(stands_in(name, text), found, "{name} in {text}");
        }
    }
}
