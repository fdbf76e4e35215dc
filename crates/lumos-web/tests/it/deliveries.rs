//! Webhooks of outside agents over a receiver that fails as it is told, time driven by hand; and what operators see and
//! do about it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::http::{Request, header};
use lumos_domain::{command::Command, id::PersonId};
use lumos_engine::{
    pick::Pick,
    ports::{Message, PortError, Received, Webhook},
    runtime::{self, Follower, Progress},
    webhooks::Deliveries,
};
use serde_json::{Value, json};

use crate::{
    events::{ROBOT, ada, append, size, token, with_agent},
    site::{ORIGIN, Site},
};

const NAME: &str = "webhook:card-checker";

/// Answers as it is told, takes the rest, and remembers everything.
#[derive(Default)]
struct Receiver {
    answers: Mutex<VecDeque<Result<Received, ()>>>,
    came: Mutex<Vec<Message>>,
}

#[async_trait]
impl Webhook for Receiver {
    async fn deliver(&self, message: &Message) -> Result<Received, PortError> {
        self.came.lock().unwrap().push(message.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        answer
            .unwrap_or(Ok(Received::Taken))
            .map_err(|()| PortError::new("bringing an entry", "nobody is there"))
    }
}

fn refused(status: u16, after_s: Option<u64>) -> Result<Received, ()> {
    let problem = "not now".to_owned();
    Ok(Received::Refused {
        status,
        problem,
        after_s,
    })
}

/// A site whose agent has a webhook.
struct House {
    site: Site,
    receiver: Arc<Receiver>,
    follower: Follower,
}

impl House {
    async fn new() -> Self {
        let site = with_agent().await;
        let receiver = Arc::new(Receiver::default());
        let follower = follower(&site, &receiver, "");
        let house = Self {
            site,
            receiver,
            follower,
        };
        // The first look makes the cursor, at the end of what is there.
        house.work().await;
        house
    }

    /// Works off everything that is due now; how many attempts that were.
    async fn work(&self) -> usize {
        let mut attempts = 0;
        loop {
            let due = self.follower.due(8).await.unwrap();
            if due.is_empty() {
                return attempts;
            }
            for taken in due {
                self.follower.work(taken).await.unwrap();
                attempts += 1;
            }
        }
    }

    fn answer(&self, answers: impl IntoIterator<Item = Result<Received, ()>>) {
        self.receiver.answers.lock().unwrap().extend(answers);
    }

    /// The ids that came since the last look.
    fn came(&self) -> Vec<String> {
        let came = std::mem::take(&mut *self.receiver.came.lock().unwrap());
        came.into_iter().map(|message| message.id).collect()
    }

    /// An entry that the agent may read, under a signed checkpoint; its index.
    async fn say(&self, round: &str) -> u64 {
        let index = size(&self.site).await;
        self.site
            .as_ada(round, |sealer| Command::Remark {
                review: "triage/1.2/production/1".parse().unwrap(),
                text: sealer.seal(round),
            })
            .await;
        self.site.checkpoint().await;
        index
    }

    async fn progress(&self) -> Progress {
        let store = &*self.site.door.ports().store;
        let all = runtime::progress(store).await.unwrap();
        all.into_iter().find(|one| one.agent == NAME).unwrap()
    }
}

fn follower(site: &Site, receiver: &Arc<Receiver>, types: &str) -> Follower {
    let pick = Pick {
        types: types.parse().unwrap(),
        ..Pick::default()
    };
    let webhook = Arc::clone(receiver) as _;
    let agent = "card-checker".parse().unwrap();
    let published = site.app.published.clone();
    let deliveries = Deliveries::new(agent, pick, webhook, published, ORIGIN);
    Follower::new(site.door.clone(), Arc::new(deliveries))
}

#[tokio::test]
async fn each_entry_about_its_models_is_brought_and_no_other() {
    let house = House::new().await;
    assert_eq!(
        house.came(),
        [""; 0],
        "a new webhook begins with what is new"
    );
    append(&house.site, "not-about-it", 3).await;
    let about = house.say("a").await;
    house.work().await;
    let brought = std::mem::take(&mut *house.receiver.came.lock().unwrap());
    let [message] = &brought[..] else {
        panic!("{brought:?}");
    };
    let stored = house.site.door.ports().store.entries(about, 1).await;
    assert_eq!(message.body, stored.unwrap()[0].bytes);
    assert!(message.id.starts_with("msg_") && message.id.ends_with(&format!("_{about}")));
    assert!(!message.id.contains('.'), "a full stop ends the id");
    // What is not signed yet is brought to nobody.
    house
        .site
        .as_ada("unsigned", |sealer| Command::Remark {
            review: "triage/1.2/production/1".parse().unwrap(),
            text: sealer.seal("later"),
        })
        .await;
    house.work().await;
    assert_eq!(house.came().len(), 0);
    house.site.checkpoint().await;
    house.work().await;
    assert_eq!(house.came().len(), 1);
    assert_eq!(house.progress().await.waiting, 0);
}

#[tokio::test]
async fn what_failed_comes_again_under_its_id_later_each_time() {
    let house = House::new().await;
    house.answer([refused(500, None), Err(()), refused(302, None)]);
    house.say("a").await;
    let mut ids = Vec::new();
    for attempt in 1..=4 {
        assert_eq!(house.work().await, 1, "attempt {attempt}");
        ids.extend(house.came());
        assert_eq!(house.work().await, 0, "not at once");
        house.site.clock.forward(1);
    }
    assert_eq!(ids, [ids[0].as_str(); 4]);
    assert_eq!(house.work().await, 0);
    // A receiver that says when is believed, up to six hours.
    house.answer([refused(429, Some(10 * 3_600))]);
    house.say("b").await;
    house.work().await;
    house.site.clock.forward(5);
    assert_eq!(house.work().await, 0);
    let waits = house.progress().await;
    assert_eq!(
        waits.troubled,
        Some((1, "the receiver answered 429: not now".to_owned()))
    );
    house.site.clock.forward(1);
    assert_eq!(house.work().await, 1);
}

#[tokio::test]
async fn what_fails_for_long_is_a_dead_letter_until_somebody_asks() {
    let mut house = House::new().await;
    house.say("a").await;
    house.say("b").await;
    house.answer((0..19).map(|_| Err(())));
    // The first attempt at each; then only the failing one.
    let mut attempts = 0;
    house.answer([Ok(Received::Taken)]);
    for _ in 0..60 {
        attempts += house.work().await;
        house.site.clock.forward(7);
        if house.progress().await.waiting == 0 {
            break;
        }
    }
    assert_eq!(attempts, 21, "both came at last");
    // Now one that nobody takes any more.
    let dead = house.say("c").await;
    house.answer((0..20).map(|_| Err(())));
    for _ in 0..20 {
        house.work().await;
        house.site.clock.forward(7);
    }
    let progress = house.progress().await;
    assert_eq!((progress.dead_count, progress.waiting), (1, 0));
    assert_eq!(progress.dead[0].0, dead);
    assert_eq!(house.work().await, 0);
    drop(house.came());

    let who = ada(&mut house.site).await;
    let told = asked(
        &mut house.site,
        &who,
        "GET",
        "/api/v1/runtime",
        &json!(null),
    )
    .await;
    let told = told.1.as_array().unwrap().clone();
    let told = told.iter().find(|one| one["agent"] == NAME).unwrap();
    assert_eq!(told["dead_letters"][0]["entry"], dead);
    let metrics = asked(&mut house.site, &who, "GET", "/metrics", &json!(null)).await;
    let line = format!("lumos_agent_dead_letters{{agent=\"{NAME}\"}} 1\n");
    assert!(metrics.1.as_str().unwrap().contains(&line), "{}", metrics.1);

    // A retry begins a new round of attempts; the id stays.
    let retry = format!("/api/v1/runtime/{NAME}/retry");
    let (status, retried) = asked(&mut house.site, &who, "POST", &retry, &json!({})).await;
    assert_eq!((status, &retried["dead_letters"]), (200, &json!(1)));
    house.answer([Err(())]);
    assert_eq!(house.work().await, 1);
    assert_eq!(
        house.progress().await.dead_count,
        0,
        "one failure is not the last"
    );
    house.site.clock.forward(1);
    house.work().await;
    let ids = house.came();
    assert!(ids.len() == 2 && ids[0] == ids[1] && ids[0].ends_with(&format!("_{dead}")));
    assert_eq!(house.progress().await.waiting, 0);
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_is_left_alone() {
    let mut house = House::new().await;
    house.answer([Ok(Received::Gone)]);
    house.say("a").await;
    house.work().await;
    for round in ["b", "c"] {
        house.say(round).await;
        house.site.clock.forward(24);
        assert_eq!(house.work().await, 0);
    }
    assert_eq!(house.came().len(), 1);
    let held = house.progress().await.held.unwrap().1;
    assert!(held.contains("410"), "{held}");
    let who = ada(&mut house.site).await;
    let retry = format!("/api/v1/runtime/{NAME}/retry");
    asked(&mut house.site, &who, "POST", &retry, &json!({})).await;
    assert_eq!(house.work().await, 3, "nothing was lost meanwhile");
}

#[tokio::test]
async fn a_suspended_agent_is_brought_nothing() {
    let house = House::new().await;
    let person: PersonId = ROBOT.parse().unwrap();
    house
        .site
        .as_ada("suspend", |sealer| Command::SuspendPerson {
            person,
            reason: sealer.seal("because"),
        })
        .await;
    house.say("a").await;
    assert_eq!(house.work().await, 0);
    assert_eq!(house.came().len(), 0);
    assert_eq!(house.progress().await.dead_count, 0);
}

#[tokio::test]
async fn a_replay_brings_the_same_ids_and_skips_nothing() {
    let mut house = House::new().await;
    let first = house.say("a").await;
    house.say("b").await;
    house.work().await;
    let before = house.came();
    let who = ada(&mut house.site).await;
    let replay = format!("/api/v1/runtime/{NAME}/replay");
    let ahead = json!({ "from": size(&house.site).await + 1 });
    let (status, problem) = asked(&mut house.site, &who, "POST", &replay, &ahead).await;
    assert_eq!((status, &problem["code"]), (409, &json!("replay-ahead")));
    let (status, _) = asked(
        &mut house.site,
        &who,
        "POST",
        &replay,
        &json!({"from": first}),
    )
    .await;
    assert_eq!(status, 200);
    house.work().await;
    assert_eq!(house.came(), before);
    for (agent, code) in [
        ("nobody", "unknown-thing"),
        ("stream:card-checker", "own-cursor"),
    ] {
        let path = format!("/api/v1/runtime/{agent}/replay");
        let (_, problem) = asked(&mut house.site, &who, "POST", &path, &json!({"from": 0})).await;
        assert_eq!(problem["code"], code);
    }
}

#[tokio::test]
async fn an_agent_operates_nothing_and_acknowledges_only_what_there_is() {
    use lumos_domain::actor::Right;
    let mut house = House::new().await;
    let rights = [Right::Read, Right::AddEvidence, Right::Operate];
    let who = token(&house.site, "t1", 24, &rights).await;
    house.say("a").await;
    let last = size(&house.site).await - 1;
    for path in ["retry", "replay"] {
        let path = format!("/api/v1/runtime/{NAME}/{path}");
        let body = if path.ends_with("replay") {
            json!({"from": 0})
        } else {
            json!({})
        };
        let (status, problem) = asked(&mut house.site, &who, "POST", &path, &body).await;
        assert_eq!((status, &problem["code"]), (403, &json!("not-allowed")));
    }
    let path = "/api/v1/runtime/acknowledgement";
    for (entry, expected) in [
        (last, 200),
        (last - 1, 200),
        (last + 1, 409),
        (u64::MAX, 409),
    ] {
        let body = json!({ "entry": entry });
        let (status, _) = asked(&mut house.site, &who, "PUT", path, &body).await;
        assert_eq!(status, expected, "{entry}");
    }
    let store = &*house.site.door.ports().store;
    let all = runtime::progress(store).await.unwrap();
    let own = all.iter().find(|one| one.agent == "stream:card-checker");
    assert_eq!(own.unwrap().next, last + 1, "never back");
    let person = ada(&mut house.site).await;
    let body = json!({ "entry": 0 });
    let (status, _) = asked(&mut house.site, &person, "PUT", path, &body).await;
    assert_eq!(status, 403, "only agents acknowledge");
}

/// Asks the API; the status and what it said.
async fn asked(site: &mut Site, who: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let asked = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, who);
    let answer = site.ask(asked, body).await;
    let text = || Value::String(answer.html.clone());
    let said = serde_json::from_str(&answer.html).unwrap_or_else(|_| text());
    (answer.status.as_u16(), said)
}
