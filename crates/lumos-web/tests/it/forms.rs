//! The forms with which people act on systems and gates, and where the inbox puts what it waits for.

use axum::http::StatusCode;
use lumos_domain::command::Command;

use crate::{
    pages::{act, send, signed_in},
    site::{HOSTILE, hidden},
};

#[tokio::test]
async fn a_system_is_stopped_by_one_and_resumed_by_two() {
    let mut site = signed_in().await;
    let (stop, resume) = ("/systems/ward/stop", "/systems/ward/resume");
    let empty = send(&mut site, "/systems", stop, &[("reason", " ")]).await;
    assert!(empty.html.contains("empty-text"), "{}", empty.html);
    let done = send(&mut site, "/systems", stop, &[("reason", HOSTILE)]).await;
    assert_eq!(
        (done.status, done.location.as_str()),
        (StatusCode::SEE_OTHER, "/systems")
    );
    let page = site.get("/systems").await.html;
    for needed in [
        "stopped",
        "Grace stopped it",
        "Mallory &#60;script&#62;",
        "Whose turn",
        "Ask that it run again",
    ] {
        assert!(page.contains(needed), "{needed}: {page}");
    }

    let asked = send(
        &mut site,
        "/systems",
        resume,
        &[("reason", "It is mended.")],
    )
    .await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    let page = site.get("/systems").await.html;
    for needed in [
        "Grace asked",
        "It is mended.",
        "a second person",
        "You asked already",
    ] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    assert!(
        !page.contains(resume),
        "who asked has no form to confirm with"
    );
    // Asked all the same, from a page that was loaded before.
    let csrf = hidden(&page, "/sign-out", "csrf");
    let again = [
        ("csrf", csrf.as_str()),
        ("once", "1"),
        ("reason", "I insist."),
    ];
    let again = site.post(resume, &again).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(again.html.contains("needs-second-person"), "{}", again.html);

    site.as_ada("second", |sealer| Command::ResumeSystem {
        system: "ward".parse().unwrap(),
        reason: sealer.seal("I looked too."),
    })
    .await;
    let page = site.get("/systems").await.html;
    assert!(
        page.contains("running") && page.contains("Stop this system"),
        "{page}"
    );
}

#[tokio::test]
async fn the_second_person_confirms_on_the_page() {
    let mut site = signed_in().await;
    site.as_ada("stop", |sealer| Command::StopSystem {
        system: "ward".parse().unwrap(),
        reason: sealer.seal("Again."),
    })
    .await;
    site.as_ada("ask", |sealer| Command::ResumeSystem {
        system: "ward".parse().unwrap(),
        reason: sealer.seal("Mended again."),
    })
    .await;
    let page = site.get("/systems").await.html;
    assert!(
        page.contains("Confirm that it runs again") && page.contains("Mended again."),
        "{page}"
    );
    let confirmed = send(
        &mut site,
        "/systems",
        "/systems/ward/resume",
        &[("reason", "I looked.")],
    )
    .await;
    assert_eq!(
        confirmed.status,
        StatusCode::SEE_OTHER,
        "{}",
        confirmed.html
    );
    assert!(site.get("/systems").await.html.contains("Stop this system"));
}

#[tokio::test]
async fn the_next_gate_is_asked_for_on_the_page() {
    let mut site = signed_in().await;
    let unknown = [("environment", "staging"), ("agents", "ward/nobody")];
    let refused = act(&mut site, "next-gate", &unknown).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.html);
    let asked = act(
        &mut site,
        "next-gate",
        &[("environment", "staging"), ("agents", "ward/intake")],
    )
    .await;
    assert_eq!(
        asked.location, "/releases/triage/1.2?env=staging",
        "{}",
        asked.html
    );
    let page = site.get(&asked.location).await.html;
    assert!(
        page.contains("There is no compliance report for this environment yet"),
        "{page}"
    );
    assert!(!page.contains("next-gate"), "every gate was asked for");
}

#[tokio::test]
async fn what_nobody_can_approve_waits_under_its_own_heading() {
    let mut site = signed_in().await;
    let between = |html: &str, from: &str, to: &str| {
        let rest = html.split_once(from).map_or("", |(_, rest)| rest);
        rest.split_once(to)
            .map_or(rest, |(part, _)| part)
            .to_owned()
    };
    let inbox = site.get("/").await.html;
    let (mine, held) = (
        between(&inbox, "id=\"mine\"", "</section>"),
        between(&inbox, "id=\"held\"", "</section>"),
    );
    assert!(!mine.contains("triage/1.2"), "{mine}");
    assert!(
        held.contains("triage/1.2") && held.contains("its authors: 1 author claim"),
        "{held}"
    );

    // Once it is claimed by somebody else, it is Grace's to sign.
    let release = "triage/1.2".parse().unwrap();
    site.as_ada("claim", |_| Command::ClaimAuthorship { release, claim: 1 })
        .await;
    let inbox = site.get("/").await.html;
    assert!(
        between(&inbox, "id=\"mine\"", "</section>").contains("triage/1.2"),
        "{inbox}"
    );
    assert!(!inbox.contains("id=\"held\""), "{inbox}");
}
