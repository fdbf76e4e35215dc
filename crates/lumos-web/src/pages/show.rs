//! How values look to people: times, states, names. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lumos_domain::{actor::Actor, id::PersonId, seal::Sealed};
use lumos_engine::views::people;

use super::oops::Oops;
use crate::app::App;

/// A time, relative to now, with the exact one at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    pub(super) machine: String,
    pub(super) exact: String,
    pub(super) relative: String,
    pub(super) past: bool,
}

impl When {
    /// `time` as it is told at `now`.
    pub(super) fn of(time: Timestamp, now: Timestamp) -> Self {
        let seconds = time.as_second().saturating_sub(now.as_second());
        let past = time <= now;
        let amount = match seconds.unsigned_abs() {
            0..60 => None,
            s @ 60..3_600 => Some(format!("{} min", s / 60)),
            s @ 3_600..172_800 => Some(format!("{} h", s / 3_600)),
            s => Some(format!("{} days", s / 86_400)),
        };
        let relative = match (amount, past) {
            (None, true) => "just now".to_owned(),
            (None, false) => "in a moment".to_owned(),
            (Some(amount), true) => format!("{amount} ago"),
            (Some(amount), false) => format!("in {amount}"),
        };
        Self {
            machine: time.to_string(),
            exact: time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            relative,
            past,
        }
    }

    #[cfg(test)]
    pub(super) fn sample() -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self::of(now + jiff::SignedDuration::from_hours(5), now)
    }
}

/// A state: a word with a shape; colour only repeats what both say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) word: String,
    pub(super) shape: char,
    pub(super) tone: &'static str,
}

impl State {
    /// The state that `word` names.
    pub(super) fn of(word: &str) -> Self {
        let (shape, tone) = match word {
            "approved" | "pass" | "live" | "observed" | "running" | "claimed" | "enforce"
            | "approve" | "done" => ('●', "good"),
            "blocked"
            | "fail"
            | "error"
            | "missing_evidence"
            | "revoked"
            | "stopped"
            | "expired"
            | "not fetched"
            | "failed"
            | "dead letter"
            | "reject"
            | "critical"
            | "overdue"
            | "rejected by a reviewer" => ('■', "bad"),
            "open"
            | "in review"
            | "paused"
            | "waiting"
            | "due"
            | "detected"
            | "identified"
            | "checked"
            | "waived"
            | "observe"
            | "request_changes"
            | "high"
            | "changes requested by a reviewer" => ('▲', "wait"),
            _ => ('○', "plain"),
        };
        Self {
            word: word.replace('_', " "),
            shape,
            tone,
        }
    }
}

/// The names of people, by id.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<PersonId, String>);

impl Names {
    /// Looks up the names of `people`.
    pub(super) async fn of(
        app: &App,
        people: impl IntoIterator<Item = PersonId>,
    ) -> Result<Self, Oops> {
        let people: BTreeSet<PersonId> = people.into_iter().collect();
        let store = &*app.door.ports().store;
        let mut known = Vec::new();
        for id in people {
            if let Some(row) = people::by_id(store, &id).await? {
                known.push((id, row.name));
            }
        }
        let seals: Vec<Sealed> = known.iter().map(|(_, name)| *name).collect();
        let texts = match seals.is_empty() {
            true => Vec::new(),
            false => store.unseal(&seals).await?,
        };
        let named = known.into_iter().zip(texts);
        // Two who were erased stay two.
        let named = named.map(|((id, _), name)| {
            let name = name.unwrap_or_else(|| format!("(erased) {id}"));
            (id, name)
        });
        Ok(Self(named.collect()))
    }

    /// The name of `person`, or the id when nobody of that id is known.
    pub(super) fn person(&self, person: &PersonId) -> String {
        self.0
            .get(person)
            .cloned()
            .unwrap_or_else(|| person.to_string())
    }

    /// Who acted, in words.
    pub(super) fn actor(&self, actor: &Actor) -> String {
        match actor {
            Actor::Genesis => "the founding".to_owned(),
            Actor::Clock => "LUMOS, by a timer".to_owned(),
            Actor::Agent(agent) => agent.as_str().replace('-', " "),
            Actor::Person(id) => self.person(id),
            Actor::Service(id) => format!("{} (service)", self.person(id)),
        }
    }
}

/// The person behind an actor, if it is one.
pub(super) fn person_of(actor: &Actor) -> Option<PersonId> {
    match actor {
        Actor::Person(id) | Actor::Service(id) => Some(id.clone()),
        Actor::Genesis | Actor::Clock | Actor::Agent(_) => None,
    }
}

/// The texts behind sealed fields, in their order.
pub(super) async fn texts(app: &App, sealed: &[Sealed]) -> Result<Vec<String>, Oops> {
    if sealed.is_empty() {
        return Ok(Vec::new());
    }
    let found = app.door.ports().store.unseal(sealed).await?;
    let text = |text: Option<String>| text.unwrap_or_else(|| "(erased)".to_owned());
    Ok(found.into_iter().map(text).collect())
}

/// How many of something: `1 rule`, `2 rules`.
pub(super) fn count(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// `text`, cut to `max` characters.
pub(super) fn cut(text: &str, max: usize) -> String {
    let mut out: String = text.chars().take(max).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
