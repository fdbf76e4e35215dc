//! The ledger as a stream of server-sent events: every entry that a signed checkpoint covers, in order, from any
//! entry on. What is sent is read from the store in pages; word of a new checkpoint only says when to look.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::sse::{Event, Sse},
};
use futures::{Stream, stream};
use jiff::{SignedDuration, Timestamp};
use lumos_domain::{actor::Right, stream::Stream as Place, words::Reading};
use lumos_engine::{LedgerEntry, notary::Published, pick::Pick, ports::StoredEntry, reach::Reach};
use serde::Deserialize;
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Query},
    auth::{SignedIn, still_signed_in},
    problem::Problem,
    readings, streams,
};

/// Entries read at a time: what a reader who stands still keeps in memory.
const PAGE: u32 = 32;
/// How long a stream is silent at most.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How old the last look at the credential may be when something is sent.
const CHECKED: SignedDuration = SignedDuration::from_secs(1);
/// How long a client waits before it comes back, if it asks the stream.
const COME_BACK: Duration = Duration::from_secs(2);

/// Entries that a reader asks for at once and that are still no reading in bulk: a tile of them.
const BULK: u64 = 256;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Send what comes after this entry. `Last-Event-ID` says the same, and counts before it.
    after: Option<u64>,
    /// Send this entry and what comes after it.
    from: Option<u64>,
    /// The types to send: names, or beginnings of names that end in `*`, with commas between them.
    #[serde(rename = "type", default)]
    kind: String,
    /// The streams to send, written the same way.
    #[serde(default)]
    stream: String,
    /// Leave out `event:`, for a browser's `EventSource`, which hears only names that it knows before.
    #[serde(default)]
    unnamed: bool,
}

/// Entries as they come under a signed checkpoint, as server-sent events.
///
/// `id` is the index of the entry, `event` its type, `data` its stored bytes: the `CloudEvent` that was hashed. Without
/// `Last-Event-ID`, `after` or `from` it begins with what comes next. Entries that are not sent, because they are not
/// asked for or not about models that the caller may read, move the `id` on without an event.
#[utoipa::path(get, path = "/api/v1/events", tag = "ledger",
    params(Asked, ("Last-Event-ID" = Option<u64>, Header, description = "The last entry that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = "4XX", body = Problem)))]
async fn follow(
    State(app): State<App>,
    who: SignedIn,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let pick = Pick {
        types: asked.kind.parse().map_err(bad_pattern)?,
        streams: asked.stream.parse().map_err(bad_pattern)?,
    };
    let Some(reach) = Reach::of(&app.door, &who.caller).await? else {
        return Err(not_allowed());
    };
    let published = app.published.clone();
    let size = published.borrow().size;
    let next = match begin(&asked, &headers)? {
        Some(next) => next,
        None => size,
    };
    ahead(&app, next).await?;
    let place = app.streams.enter(&who.person.person)?;
    // Whoever comes back after a while is no news; whoever reads the ledger from its beginning is.
    if size.saturating_sub(next) > BULK {
        readings::note(&app, &who, Reading::Tiles, "entries, as a stream").await;
    }
    let hello = Event::default()
        .retry(COME_BACK)
        .comment(format!("{size} entries under a signed checkpoint"));
    let following = Following {
        checked: app.door.ports().clock.now(),
        app,
        headers,
        who,
        reach,
        pick,
        named: !asked.unnamed,
        next,
        published,
        looks: 0,
        waiting: VecDeque::from([Waiting::untold(next, hello)]),
        _place: place,
    };
    let events = stream::unfold(following, |mut following| async move {
        let event = following.event().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(events))
}

fn bad_pattern(error: lumos_engine::pick::PatternError) -> Problem {
    Problem::bad(error.code(), error.to_string())
}

fn not_allowed() -> Problem {
    let refusal = lumos_domain::refusal::Refusal::NotAllowed { right: Right::Read };
    lumos_engine::DoorError::from(refusal).into()
}

/// The entry to begin with, if one was named.
fn begin(asked: &Asked, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let bad = |detail: &str| Problem::bad("bad-request", detail);
    if asked.after.is_some() && asked.from.is_some() {
        return Err(bad("name `after` or `from`, not both"));
    }
    let mut last = headers.get_all("last-event-id").iter();
    let last = match (last.next(), last.next()) {
        (Some(last), None) => Some(
            index(last.to_str().unwrap_or_default())
                .ok_or_else(|| bad("`Last-Event-ID` is not the index of an entry"))?,
        ),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(bad("`Last-Event-ID` was sent twice")),
    };
    let after = last.or(asked.after).map(|last| last.saturating_add(1));
    Ok(after.or(asked.from))
}

/// An index as it is sent: digits, as many as a ledger may have.
fn index(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Refuses to go on after an entry that the ledger does not have: whoever saw it saw another history.
async fn ahead(app: &App, next: u64) -> Result<(), Problem> {
    let size = app.door.ports().store.frontier().await?.size();
    if next <= size {
        return Ok(());
    }
    let detail = format!(
        "the ledger has {size} entries, but you ask for what comes from entry {next} on: what you saw before is not \
         in this ledger. Keep what you have, and tell the operator"
    );
    Err(Problem::new(
        StatusCode::CONFLICT,
        "ahead-of-ledger",
        detail,
    ))
}

/// One reader on their way through the ledger.
struct Following {
    app: App,
    headers: HeaderMap,
    who: SignedIn,
    reach: Reach,
    pick: Pick,
    named: bool,
    /// The next entry to read.
    next: u64,
    published: watch::Receiver<Published>,
    /// What was read and not yet sent.
    waiting: VecDeque<Waiting>,
    /// When the credential was last looked at.
    checked: Timestamp,
    /// How often it was looked at.
    looks: u64,
    _place: streams::Place,
}

/// An event that was read and not yet sent.
struct Waiting {
    index: u64,
    /// The stream that its data is of; nothing where it tells nobody anything.
    of: Option<Place>,
    event: Event,
    /// The look at the credential by which the reader may have it.
    look: u64,
}

impl Waiting {
    const fn untold(index: u64, event: Event) -> Self {
        Self {
            index,
            of: None,
            event,
            look: 0,
        }
    }
}

impl Following {
    /// The next event; `None` when the stream ends.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if *self.app.stop.borrow() {
                return None;
            }
            if let Some(next) = self.waiting.pop_front() {
                return self.send(next).await;
            }
            // What is published from here on wakes the wait below: nothing falls between.
            let size = self.published.borrow_and_update().size;
            if self.next < size {
                self.read(size).await?;
            } else if self.idle().await? {
                self.check().await?;
                return Some(Event::default().comment("still here"));
            }
        }
    }

    /// What is sent of an event. The reader may have stood still for an hour since it was read, and may read less by now:
    /// then only its place is told. Every look at the credential ends with an event, so whoever is slow, or the store,
    /// comes on all the same.
    async fn send(&mut self, next: Waiting) -> Option<Event> {
        if self.now().duration_since(self.checked).abs() >= CHECKED {
            self.check().await?;
        }
        let Some(of) = next.of.filter(|_| next.look != self.looks) else {
            return Some(next.event);
        };
        let covered = self.reach.covers(&self.app.door, &of).await.ok()?;
        let untold = || Event::default().id(next.index.to_string());
        Some(if covered { next.event } else { untold() })
    }

    /// Reads a page of what a checkpoint over `size` entries covers.
    async fn read(&mut self, size: u64) -> Option<()> {
        let left = u32::try_from(size - self.next).unwrap_or(u32::MAX);
        let store = &self.app.door.ports().store;
        let stored = store.entries(self.next, left.min(PAGE)).await.ok()?;
        let read: Vec<LedgerEntry> = stored
            .iter()
            .map(LedgerEntry::read)
            .collect::<Result<_, _>>()
            .ok()?;
        // What changes who may read is heeded before what stands beside it is sent.
        if read.iter().any(|entry| self.is_about_rights(entry)) {
            self.check().await?;
        }
        let mut skipped = None;
        for (entry, stored) in read.iter().zip(&stored) {
            if entry.index != self.next {
                // Never met: a store that leaves entries out.
                tracing::error!(
                    at = self.next,
                    "an entry is missing; a stream ends before it"
                );
                return None;
            }
            self.next = entry.index.saturating_add(1);
            let wanted = self.pick.wants(entry)
                && self
                    .reach
                    .covers(&self.app.door, &entry.stream)
                    .await
                    .ok()?;
            if wanted {
                let event = self.shown(entry, stored)?;
                self.waiting.push_back(Waiting {
                    index: entry.index,
                    of: Some(entry.stream.clone()),
                    event,
                    look: self.looks,
                });
            }
            skipped = (!wanted).then_some(entry.index);
        }
        // An `id` without data moves the reader on without telling them anything.
        if let Some(index) = skipped {
            let event = Event::default().id(index.to_string());
            self.waiting.push_back(Waiting::untold(index, event));
        }
        (!read.is_empty()).then_some(())
    }

    fn now(&self) -> Timestamp {
        self.app.door.ports().clock.now()
    }

    fn is_about_rights(&self, entry: &LedgerEntry) -> bool {
        match &entry.stream {
            Place::Org => true,
            Place::Person(person) => *person == self.who.person.person,
            _ => false,
        }
    }

    /// An entry as it is sent: its stored bytes, which hold no name and no free text but commitments to them.
    fn shown(&self, entry: &LedgerEntry, stored: &StoredEntry) -> Option<Event> {
        let data = std::str::from_utf8(&stored.bytes).ok()?;
        // JSON as LUMOS writes it has neither; in an event they would begin a line of their own.
        if data.contains(['\r', '\n']) {
            return None;
        }
        let event = Event::default().id(entry.index.to_string()).data(data);
        Some(if self.named {
            event.event(entry.event.kind())
        } else {
            event
        })
    }

    /// Looks at the credential and the roles again; `None` when they reach no longer.
    async fn check(&mut self) -> Option<()> {
        let who = still_signed_in(&self.app, &self.headers).await.ok()??;
        self.reach = Reach::of(&self.app.door, &who.caller).await.ok()??;
        self.who = who;
        self.checked = self.now();
        self.looks += 1;
        Some(())
    }

    /// Waits for a checkpoint, or says that a heartbeat is due; `None` at the end of the server.
    async fn idle(&mut self) -> Option<bool> {
        let mut stop = self.app.stop.clone();
        tokio::select! {
            changed = self.published.changed() => changed.ok().map(|()| false),
            () = lumos_engine::runtime::stopped(&mut stop) => None,
            () = tokio::time::sleep(HEARTBEAT) => Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_digits_and_no_more_than_there_can_be() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("007", Some(7)),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("0x1", None),
            ("1,2", None),
        ] {
            assert_eq!(index(text), expected, "{text:?}");
        }
        assert_eq!(index(&"9".repeat(100_000)), None);
    }
}
