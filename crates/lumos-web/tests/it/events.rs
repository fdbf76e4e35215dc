//! The stream of events: every entry once, in order, to those who may read it and for as long as they may.

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode, header},
    response::Response,
};
use futures::StreamExt as _;
use jiff::SignedDuration;
use lumos_domain::{
    actor::{Grant, Right, Scope},
    command::Command,
    event::SystemDefined,
    id::{Digest, PersonId, TokenId},
    outside::DefineOutsideAgent,
    person::{AddPerson, IssueToken},
    proposal::Governed,
    system::DefineSystem,
};
use lumos_engine::ports::Clock as _;
use lumos_web::streams::EACH_MAX;
use tower::ServiceExt as _;

use crate::{
    pages::signed_in,
    site::{Answer, Site},
};

mod slow;

pub(crate) const ROBOT: &str = "p-robot";
const SECRET: &str = "a-secret-of-the-robot";
/// A limit, not a pace.
const PATIENCE: Duration = Duration::from_secs(60);

/// One event as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sent {
    id: Option<u64>,
    event: String,
    data: String,
    comment: String,
}

/// A reader of a stream.
struct Reader {
    body: Pin<Box<BodyDataStream>>,
    text: String,
}

impl Reader {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        Self {
            body: Box::pin(response.into_body().into_data_stream()),
            text: String::new(),
        }
    }

    /// The next event; `None` when the stream ended.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let read = read(event);
                self.text = rest.to_owned();
                return Some(read);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next());
            let chunk = chunk.await.expect("something comes, or the end")?;
            self.text += std::str::from_utf8(&chunk.unwrap()).unwrap();
        }
    }

    /// The next entry, whatever stands between.
    async fn entry(&mut self) -> Option<Sent> {
        loop {
            let sent = self.next().await?;
            if !sent.data.is_empty() {
                return Some(sent);
            }
        }
    }

    /// Reads on until the `id` is at least `index`; the indices of the entries.
    async fn until(&mut self, index: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        loop {
            let sent = self.next().await.expect("the stream goes on");
            if !sent.data.is_empty() {
                seen.extend(sent.id);
            }
            if sent.id >= Some(index) {
                return seen;
            }
        }
    }
}

fn read(event: &str) -> Sent {
    let mut sent = Sent::default();
    for line in event.lines() {
        match line.split_once(':') {
            Some(("id", id)) => sent.id = id.trim().parse().ok(),
            Some(("event", name)) => name.trim().clone_into(&mut sent.event),
            Some(("data", data)) => data.trim().clone_into(&mut sent.data),
            Some(("", comment)) => comment.trim().clone_into(&mut sent.comment),
            other => assert!(matches!(other, Some(("retry", _))), "{line}"),
        }
    }
    sent
}

/// A site with a service that may read about `triage`, and is an agent.
pub(crate) async fn with_agent() -> Site {
    let site = signed_in().await;
    let account: PersonId = ROBOT.parse().unwrap();
    site.as_ada("robot", |sealer| {
        Command::AddPerson(AddPerson {
            person: account.clone(),
            name: sealer.seal("Card checker"),
            login: sealer.seal("card-checker"),
            service: true,
        })
    })
    .await;
    let role = Governed::DefineRole {
        role: "checker".parse().unwrap(),
        rights: [Right::Read, Right::AddEvidence].into(),
    };
    site.as_ada("role", |_| role.into()).await;
    let grant = Governed::GrantRole {
        person: account.clone(),
        grant: Grant {
            role: "checker".parse().unwrap(),
            scope: Scope::Model("triage".parse().unwrap()),
        },
    };
    site.as_ada("grant", |_| grant.into()).await;
    let define = Governed::DefineOutsideAgent(DefineOutsideAgent {
        agent: "card-checker".parse().unwrap(),
        account,
        evidence: ["card_review".to_owned()].into(),
    });
    site.as_ada("agent", |_| define.into()).await;
    site.checkpoint().await;
    site
}

/// A token of the robot's; its credential.
pub(crate) async fn token(site: &Site, id: &str, hours: i64, rights: &[Right]) -> String {
    let expires = site.clock.now() + SignedDuration::from_hours(hours);
    let token: TokenId = id.parse().unwrap();
    let rights: BTreeSet<Right> = rights.iter().copied().collect();
    site.as_ada(&format!("issue-{id}"), |sealer| {
        Governed::IssueToken(IssueToken {
            person: ROBOT.parse().unwrap(),
            token,
            hash: sealer.seal(&Digest::of(SECRET.as_bytes()).hex()),
            rights,
            purpose: sealer.seal("to follow"),
            expires,
        })
        .into()
    })
    .await;
    format!("Bearer lumos_{id}_{SECRET}")
}

async fn opened(site: &Site, credential: &str, query: &str) -> Response {
    let asked = Request::get(format!("/api/v1/events{query}"))
        .header(header::AUTHORIZATION, credential)
        .body(Body::empty());
    let answer = site.router.clone().oneshot(asked.unwrap()).await;
    answer.unwrap()
}

/// Somebody who may read everything.
pub(crate) async fn ada(site: &mut Site) -> String {
    let body = serde_json::json!({ "login": "grace", "password": crate::pages::PASSWORD });
    let session = site.ask(Request::post("/api/v1/sessions"), &body).await;
    let session: serde_json::Value = serde_json::from_str(&session.html).unwrap();
    format!("Bearer {}", session["credential"].as_str().unwrap())
}

/// Appends `count` entries that say little.
pub(crate) async fn append(site: &Site, round: &str, count: usize) {
    for n in 0..count {
        let define = Governed::DefineSystem(DefineSystem {
            system: "ward".parse().unwrap(),
            facts: SystemDefined {
                owner: "p-ada".parse().unwrap(),
                agents: [format!("intake-{n}").parse().unwrap()].into(),
                outage: Vec::new(),
            },
        });
        site.as_ada(&format!("{round}-{n}"), |_| define.into())
            .await;
    }
}

pub(crate) async fn size(site: &Site) -> u64 {
    site.door.ports().store.frontier().await.unwrap().size()
}

#[tokio::test]
async fn every_signed_entry_comes_once_as_it_was_stored() {
    let mut site = with_agent().await;
    let who = ada(&mut site).await;
    site.checkpoint().await;
    let mut reader = Reader::of(opened(&site, &who, "?from=0").await);
    let hello = reader.next().await.unwrap();
    assert!(hello.comment.contains("under a signed checkpoint"));
    let before = size(&site).await;
    for index in 0..before {
        let sent = reader.next().await.unwrap();
        let stored = site.door.ports().store.entries(index, 1).await.unwrap();
        assert_eq!(sent.id, Some(index));
        assert_eq!(sent.data.as_bytes(), stored[0].bytes);
        let entry: serde_json::Value = serde_json::from_str(&sent.data).unwrap();
        assert_eq!(entry["type"], sent.event.as_str());
    }
    // What is committed and not yet signed is shown to nobody.
    append(&site, "later", 4).await;
    let later = Reader::of(opened(&site, &who, "").await);
    site.checkpoint().await;
    for mut reader in [reader, later] {
        assert_eq!(
            reader.until(before + 3).await,
            (before..before + 4).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_reader_goes_on_after_what_they_saw() {
    let mut site = with_agent().await;
    let who = ada(&mut site).await;
    site.checkpoint().await;
    let last = size(&site).await - 1;
    let begins = async |query: &str, id: Option<&str>| -> Result<u64, u16> {
        let mut asked =
            Request::get(format!("/api/v1/events{query}")).header(header::AUTHORIZATION, &who);
        if let Some(id) = id {
            asked = asked.header("last-event-id", id);
        }
        let asked = asked.body(Body::empty()).unwrap();
        let answer = site.router.clone().oneshot(asked).await.unwrap();
        if answer.status() != StatusCode::OK {
            return Err(answer.status().as_u16());
        }
        Ok(Reader::of(answer).entry().await.unwrap().id.unwrap())
    };
    assert_eq!(begins("?from=2", None).await, Ok(2));
    assert_eq!(begins("?after=2", None).await, Ok(3));
    assert_eq!(begins("", Some("4")).await, Ok(5));
    // A browser that comes back asks the same address again, and says where it was.
    assert_eq!(begins("?after=2", Some("4")).await, Ok(5));
    assert_eq!(begins("?from=0", Some("4")).await, Ok(5));
    for (query, id) in [
        ("?after=1&from=1", None),
        ("?after=-1", None),
        ("?after=x", None),
        ("?colour=red", None),
        ("?type=%20", None),
        ("?type=a*b", None),
        ("", Some("x")),
        ("", Some("-1")),
        ("", Some("")),
        ("", Some("1, 2")),
        ("", Some("99999999999999999999999")),
    ] {
        let refused = begins(query, id).await.unwrap_err();
        assert!(matches!(refused, 400 | 422), "{query} {id:?}: {refused}");
    }
    // Whoever saw an entry that is not there saw another history.
    for beyond in [last + 1, u64::MAX] {
        assert_eq!(begins("", Some(&beyond.to_string())).await, Err(409));
    }
}

#[tokio::test]
async fn only_what_is_asked_for_comes_and_the_place_moves_on() {
    let mut site = with_agent().await;
    let who = ada(&mut site).await;
    append(&site, "more", 40).await;
    site.checkpoint().await;
    let last = size(&site).await - 1;
    let query = "?from=0&type=lumos.release.*,lumos.evidence.recorded.v1&unnamed=true";
    let mut reader = Reader::of(opened(&site, &who, query).await);
    let mut kinds = Vec::new();
    let mut place = 0;
    while place < last {
        let sent = reader.next().await.unwrap();
        assert_eq!(sent.event, "");
        place = sent.id.unwrap_or(place);
        if !sent.data.is_empty() {
            let entry: serde_json::Value = serde_json::from_str(&sent.data).unwrap();
            kinds.push(entry["type"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(
        kinds,
        [
            "lumos.release.identified.v1",
            "lumos.evidence.recorded.v1",
            "lumos.release.review_started.v1"
        ]
    );
    let mut reader = Reader::of(opened(&site, &who, "?from=0&stream=system/*").await);
    assert_eq!(reader.until(last).await.len(), 41);
}

#[tokio::test]
async fn an_agent_reads_about_its_models_and_nothing_else() {
    let site = with_agent().await;
    let who = token(&site, "t1", 24, &[Right::Read]).await;
    append(&site, "more", 3).await;
    site.checkpoint().await;
    let last = size(&site).await - 1;
    let mut reader = Reader::of(opened(&site, &who, "?from=0").await);
    let mut streams = BTreeSet::new();
    let mut place = 0;
    while place < last {
        let sent = reader.next().await.unwrap();
        place = sent.id.unwrap_or(place);
        if !sent.data.is_empty() {
            let entry: serde_json::Value = serde_json::from_str(&sent.data).unwrap();
            let stream = entry["subject"].as_str().unwrap();
            streams.insert(stream.split('/').next().unwrap().to_owned());
        }
    }
    let expected = ["model", "release", "review", "subject"];
    assert_eq!(streams, expected.map(str::to_owned).into());

    // The same bounds hold for what it asks beside the stream.
    let mut site = site;
    let digest = {
        let release = "triage/1.2".parse().unwrap();
        let asked = site.door.ask(|world| Ok(world.release(&release)?.digest));
        asked.await.unwrap().unwrap()
    };
    let about = format!("/api/v1/releases/triage/1.2/blobs/{digest}");
    let other = format!(
        "/api/v1/releases/triage/1.2/blobs/{}",
        Digest::of(b"another")
    );
    for (path, status) in [
        ("/api/v1/releases/triage/1.2/evidence", 200),
        (about.as_str(), 200),
        (other.as_str(), 404),
        ("/api/v1/releases/letters/1/evidence", 403),
        (&format!("/api/v1/blobs/{digest}"), 403),
        ("/api/v1/people", 403),
        ("/api/v1/runtime", 403),
        ("/api/v1/ledger/entries", 403),
        ("/ledger/tile/entries/000.p/1", 403),
    ] {
        let answer = got(&mut site, &who, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.html);
    }
    let nothing = token(&site, "t2", 24, &[Right::AddEvidence]).await;
    assert_eq!(opened(&site, &nothing, "").await.status(), 403);
}

async fn got(site: &mut Site, credential: &str, path: &str) -> Answer {
    let asked = Request::get(path).header(header::AUTHORIZATION, credential);
    site.send_bytes(asked, Body::empty()).await
}

#[tokio::test]
async fn who_may_no_longer_read_is_cut_off() {
    // Each a way to lose what one could read, while entries wait that were not read yet.
    for way in ["revoked", "suspended", "role", "expired", "session"] {
        let mut site = with_agent().await;
        let who = match way {
            "session" => ada(&mut site).await,
            _ => token(&site, "t1", 2, &[Right::Read]).await,
        };
        site.checkpoint().await;
        let mut reader = Reader::of(opened(&site, &who, "").await);
        reader.next().await.unwrap();
        let person: PersonId = ROBOT.parse().unwrap();
        match way {
            "revoked" => {
                let token = "t1".parse().unwrap();
                site.as_ada("way", |_| Command::RevokeToken { person, token })
                    .await;
            }
            "suspended" => {
                site.as_ada("way", |sealer| Command::SuspendPerson {
                    person,
                    reason: sealer.seal("because"),
                })
                .await;
            }
            "role" => {
                let nothing = Governed::DefineRole {
                    role: "checker".parse().unwrap(),
                    rights: BTreeSet::new(),
                };
                site.as_ada("way", |_| nothing.into()).await;
            }
            // A token ends, a session is left alone for too long: nothing is written about either.
            _ => site.clock.forward(3),
        }
        site.as_ada("after", |sealer| {
            Command::Govern(Governed::SetModelTier {
                model: "triage".parse().unwrap(),
                tier: lumos_domain::words::ModelTier::High,
                rationale: sealer.seal("looked at again"),
            })
        })
        .await;
        site.checkpoint().await;
        let after = reader.entry().await;
        assert_eq!(after, None, "{way}");
    }
}

#[tokio::test]
async fn readers_who_stand_still_hold_nobody_up_and_miss_nothing() {
    let site = with_agent().await;
    append(&site, "before", 100).await;
    let mut readers = Vec::new();
    for n in 0..EACH_MAX {
        // With several tokens of one account: no more of them helps it to more than its share.
        let id = format!("t{}", n / 32);
        let who = if n % 32 == 0 {
            token(&site, &id, 24, &[Right::Read]).await
        } else {
            format!("Bearer lumos_{id}_{SECRET}")
        };
        site.checkpoint().await;
        let mut reader = Reader::of(opened(&site, &who, "?from=0").await);
        // Each has begun to read, and stands still.
        reader.next().await.unwrap();
        readers.push(reader);
    }
    assert_eq!(site.app.streams.count(), EACH_MAX);
    let refused = opened(&site, &format!("Bearer lumos_t0_{SECRET}"), "").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    // With all of them open, writers go on.
    append(&site, "while", 100).await;
    site.checkpoint().await;
    let last = size(&site).await - 1;
    let mut all = BTreeSet::new();
    for reader in &mut readers {
        all.insert(reader.until(last).await);
    }
    assert_eq!(all.len(), 1, "all of them saw the same");
    drop(readers);
    assert_eq!(site.app.streams.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_many_append_at_once_leave_no_gap() {
    let mut site = with_agent().await;
    let who = ada(&mut site).await;
    site.checkpoint().await;
    let from = size(&site).await;
    let mut reader = Reader::of(opened(&site, &who, &format!("?from={from}")).await);
    let site = std::sync::Arc::new(site);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let site = std::sync::Arc::clone(&site);
        writers.spawn(async move {
            for n in 0..10 {
                let person = format!("p-{writer}-{n}").parse().unwrap();
                site.as_ada(&format!("add-{writer}-{n}"), |sealer| {
                    Command::AddPerson(AddPerson {
                        person,
                        name: sealer.seal("Somebody"),
                        login: sealer.seal(&format!("somebody-{writer}-{n}")),
                        service: false,
                    })
                })
                .await;
                // Checkpoints come in the middle of it, in any order.
                site.checkpoint().await;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    site.checkpoint().await;
    let last = size(&site).await - 1;
    assert_eq!(reader.until(last).await, (from..=last).collect::<Vec<_>>());
}
