//! The review of the log on the pages: due by the clock, shown to whoever may sign, signed once.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use lumos_domain::{
    event::Event,
    log_review::{Schedule, SetLogReview, Span},
    proposal::Governed,
    stream::Stream,
    words::Grade,
};
use lumos_engine::{Door, ports::Statement, runtime};

use crate::{
    events::ada,
    pages::{PASSWORD, signed_in},
    site::{Answer, ORIGIN, Site, hidden},
};

const PAGE: &str = "/log-review";
const MONTH_H: i64 = 30 * 24;

/// Grace is signed in, and somebody of her role reviews the log every 30 days.
async fn asked() -> Site {
    let site = signed_in().await;
    site.as_ada("ask-for-log-reviews", |sealer| {
        let schedule = Schedule {
            role: "reviewer".parse().unwrap(),
            every_days: 30,
            within_days: 7,
            grade: Grade::Part11,
        };
        let reason = sealer.seal("a rule of the house");
        let schedule = Some(schedule);
        Governed::SetLogReview(SetLogReview { schedule, reason }).into()
    })
    .await;
    site
}

/// Automatic logoff has happened meanwhile.
async fn again(site: &mut Site) {
    let fields = [("login", "grace"), ("password", PASSWORD), ("next", "/")];
    let entered = site.post("/sign-in", &fields).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.html);
}

async fn kinds(door: &Door) -> Vec<&'static str> {
    let history = door.history(&Stream::LogReview).await.unwrap();
    history.iter().map(|entry| entry.event.kind()).collect()
}

async fn timers(door: &Door) -> Vec<(String, i64)> {
    let sql = "SELECT key, due_us FROM timers WHERE stream = 'log-review'";
    let rows = door.ports().store.query(sql, Vec::new()).await.unwrap();
    let timer = |row: &lumos_engine::ports::Row| (row.text(0).to_owned(), row.int(1).unwrap());
    rows.iter().map(timer).collect()
}

/// The form of the page as a browser would send it, with `fields` over it.
async fn form(site: &mut Site, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let page = site.get(PAGE).await.html;
    let place = "action=\"/log-review\"";
    let names = ["csrf", "once", "from", "size", "record"];
    let hidden = names.map(|name| (name.to_owned(), hidden(&page, place, name)));
    let mut all: Vec<_> = hidden.into();
    all.retain(|(name, _)| fields.iter().all(|(given, _)| given != name));
    let given = fields.iter();
    all.extend(given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}

async fn send(site: &mut Site, form: &[(String, String)]) -> Answer {
    let form: Vec<_> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    site.post(PAGE, &form).await
}

const SIGNED: [(&str, &str); 3] = [
    ("finding", "nothing-found"),
    ("reason", "I looked at every change of people."),
    ("password", PASSWORD),
];

#[tokio::test]
async fn it_waits_for_whoever_may_sign_and_is_signed_once() {
    let mut site = asked().await;
    site.checkpoint().await;
    let before = site.get(PAGE).await.html;
    for needed in [
        "not due",
        "people and what they may do",
        "No entry about: keys of the ledger",
        "Sign",
    ] {
        assert!(before.contains(needed), "{needed}: {before}");
    }
    let people = site.get("/log-review/people").await.html;
    assert!(people.contains("person added"), "{people}");
    assert_eq!(site.get("/log-review/gossip").await.status, 404);
    site.clock.forward(MONTH_H);
    runtime::fire_due(&site.door).await.unwrap();
    site.checkpoint().await;
    again(&mut site).await;
    let inbox = site.get("/").await.html;
    assert!(inbox.contains("The log waits to be reviewed"), "{inbox}");

    // Without a password, beyond the checkpoint, with another record: nothing is signed.
    let weak = form(&mut site, &SIGNED[..2]).await;
    let refused = send(&mut site, &weak).await;
    assert_eq!(refused.status, 403, "{}", refused.html);
    assert!(refused.html.contains("grade-too-low"), "{}", refused.html);
    for (field, value, code) in [
        ("size", "1000000", "log-range"),
        ("size", "1", "log-range"),
        ("from", "1", "log-range"),
        (
            "record",
            "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "stale-record",
        ),
    ] {
        let mut forged = form(&mut site, &SIGNED).await;
        forged.retain(|(name, _)| name != field);
        forged.push((field.to_owned(), value.to_owned()));
        let refused = send(&mut site, &forged).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{field} {value}");
        assert!(refused.html.contains(code), "{field}: {}", refused.html);
    }

    let good = form(&mut site, &SIGNED).await;
    let first = send(&mut site, &good).await;
    assert_eq!(first.location, PAGE, "{}", first.html);
    // The same form again is the same signature; another one finds the range signed for.
    assert_eq!(send(&mut site, &good).await.location, PAGE);
    let mut other = good;
    other.retain(|(name, _)| name != "once");
    other.push(("once".to_owned(), "another number".to_owned()));
    let refused = send(&mut site, &other).await;
    assert!(refused.html.contains("log-range"), "{}", refused.html);
    let expected = ["set", "due", "signed"].map(|what| format!("lumos.log_review.{what}.v1"));
    assert_eq!(kinds(&site.door).await, expected);

    let after = site.get(PAGE).await.html;
    for needed in [
        "Every entry under the last checkpoint was examined",
        "nothing found",
        "I looked at every change of people.",
        "part11",
    ] {
        assert!(after.contains(needed), "{needed}: {after}");
    }
    let inbox = site.get("/").await.html;
    assert!(!inbox.contains("The log waits"), "{inbox}");
    site.clock.forward(1);
    again(&mut site).await;
    let told = site.get("/ask/log-reviews").await.html;
    assert!(told.contains("signed as reviewer"), "{told}");
    assert!(!told.contains("NO"), "{told}");
}

/// Two servers of one ledger fire the same timer, at once and one after the other; then a server was down for months.
#[tokio::test]
async fn however_often_the_clock_looks_one_entry_says_so() {
    let site = asked().await;
    let other = Door::open(site.door.ports().clone(), ORIGIN).await.unwrap();
    site.clock.forward(MONTH_H);
    let both = tokio::join!(runtime::fire_due(&site.door), runtime::fire_due(&other));
    assert!(both.0.is_ok() && both.1.is_ok());
    runtime::fire_due(&other).await.unwrap();
    let due = ["set", "due"].map(|what| format!("lumos.log_review.{what}.v1"));
    assert_eq!(kinds(&site.door).await, due);

    site.clock.forward(5 * MONTH_H);
    for _ in 0..3 {
        runtime::fire_due(&site.door).await.unwrap();
        runtime::fire_due(&other).await.unwrap();
    }
    let history = site.door.history(&Stream::LogReview).await.unwrap();
    let [.., last] = &history[..] else {
        panic!("nothing happened");
    };
    let Event::LogReviewOverdue(overdue) = &last.event else {
        panic!("{last:?}");
    };
    assert_eq!((history.len(), overdue.missed), (3, 5));
    // The timer that is left is what the last entry says.
    let again = ("log-review".to_owned(), overdue.again.as_microsecond());
    assert_eq!(timers(&site.door).await, [again]);
}

/// The record is the same for whoever looks, whether they looked before or not, and another one for another range.
#[tokio::test]
async fn a_range_that_goes_on_is_the_same_as_one_that_is_read_at_once() {
    let site = asked().await;
    let size = site.door.ports().store.frontier().await.unwrap().size();
    let span = |from, size| Span { from, size };
    let half = site.door.examined(span(0, size / 2)).await.unwrap();
    let grown = site.door.examined(span(0, size)).await.unwrap();
    let fresh = Door::open(site.door.ports().clone(), ORIGIN).await.unwrap();
    let whole = fresh.examined(span(0, size)).await.unwrap();
    assert_eq!(grown, whole);
    assert_eq!(fresh.examined(span(0, size / 2)).await.unwrap(), half);
    assert_ne!(half.record(), whole.record());
    let frontier = site.door.ports().store.frontier().await.unwrap();
    assert_eq!(whole.root().as_bytes(), frontier.root().as_bytes());
    for (from, end) in [(0, size + 1), (size, size), (3, 2), (u64::MAX, 0)] {
        let refused = site.door.examined(span(from, end)).await.unwrap_err();
        assert_eq!(refused.code(), "log-range", "{from} to {end}");
    }
}

/// Whoever cannot sign has no say in where the range ends: each end may be a look through all of it.
#[tokio::test]
async fn who_may_not_sign_is_shown_what_is_there_now() {
    let mut site = signed_in().await;
    let who = ada(&mut site).await;
    site.checkpoint().await;
    let asked = async |site: &mut Site, query: &str| {
        let path = format!("/api/v1/log-review/range{query}");
        let asked = Request::get(path).header(header::AUTHORIZATION, &who);
        site.send_bytes(asked, Body::empty()).await
    };
    assert_eq!(asked(&mut site, "").await.status, StatusCode::OK);
    let refused = asked(&mut site, "?size=3").await;
    assert!(refused.html.contains("no-log-review"), "{}", refused.html);
    assert_eq!(site.get("/log-review?size=3").await.status, StatusCode::OK);
}

/// The database says something else while somebody looks: nothing is shown, and nothing is signed.
#[tokio::test]
async fn rows_that_were_changed_are_neither_shown_nor_signed_for() {
    let mut site = asked().await;
    let who = ada(&mut site).await;
    site.checkpoint().await;
    let renamed = "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'p-grace', 'p-gracy') AS BLOB)
                   WHERE kind = 'lumos.role.granted.v1'";
    let changed = Statement {
        sql: renamed,
        params: Vec::new(),
    };
    let store = &*site.door.ports().store;
    assert_eq!(store.execute(vec![changed]).await.unwrap(), [2]);
    let size = store.frontier().await.unwrap().size();
    let shown = site.get(PAGE).await.html;
    assert!(shown.contains("changed the database"), "{shown}");
    // Somebody who read those rows without being shown them.
    let span = Span { from: 0, size };
    let record = site.door.examined(span).await.unwrap().record().to_string();
    let sign = serde_json::json!({
        "from": 0, "size": size, "record": record, "finding": "nothing-found", "reason": "I looked",
        "password": PASSWORD,
    });
    let asked = Request::post("/api/v1/log-review/signatures");
    let asked = asked.header(header::AUTHORIZATION, &who);
    let refused = site.ask(asked, &sign).await;
    assert!(
        refused.html.contains("changed the database"),
        "{}",
        refused.html
    );
    assert_eq!(kinds(&site.door).await, ["lumos.log_review.set.v1"]);
}

/// What was signed for is shown a page at a time.
#[tokio::test]
async fn signatures_come_a_page_at_a_time() {
    let mut site = asked().await;
    for _ in 0..3 {
        site.checkpoint().await;
        let form = form(&mut site, &SIGNED).await;
        assert_eq!(send(&mut site, &form).await.location, PAGE);
    }
    let who = ada(&mut site).await;
    let mut seen = Vec::new();
    let mut before = String::new();
    loop {
        let path = format!("/api/v1/log-review/signatures?limit=2{before}");
        let asked = Request::get(path).header(header::AUTHORIZATION, &who);
        let page = site.send_bytes(asked, Body::empty()).await.html;
        let page: Vec<serde_json::Value> = serde_json::from_str(&page).unwrap();
        let Some(last) = page.last() else { break };
        before = format!("&before={}", last["entry"]);
        assert!(page.len() <= 2);
        seen.extend(page.iter().map(|signed| signed["from"].as_u64().unwrap()));
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    let first = site.get(&format!("{PAGE}?before=1")).await.html;
    assert!(first.contains("Nobody has signed"), "{first}");
}

/// An export is an entry each time; while there is nothing new to export, it is the same one.
#[tokio::test]
async fn every_declared_reading_is_an_entry() {
    let mut site = signed_in().await;
    let who = ada(&mut site).await;
    let declared = async |site: &mut Site, size: u64| {
        let asked = Request::post("/api/v1/readings").header(header::AUTHORIZATION, &who);
        let body = serde_json::json!({ "reading": "export", "size": size });
        let said = site.ask(asked, &body).await;
        assert_eq!(said.status, StatusCode::OK, "{}", said.html);
        let said: serde_json::Value = serde_json::from_str(&said.html).unwrap();
        said["entry"].is_u64()
    };
    site.checkpoint().await;
    assert!(declared(&mut site, 10).await);
    for made_up in [10, 11, 12] {
        assert!(!declared(&mut site, made_up).await, "{made_up}");
    }
    site.checkpoint().await;
    assert!(declared(&mut site, 11).await);
}
