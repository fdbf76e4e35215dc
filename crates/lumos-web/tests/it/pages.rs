//! A reviewer's way through the pages.

use axum::http::{StatusCode, header};

use crate::site::{Answer, FIRST_PASSWORD, HOSTILE, Site, hidden};

pub(crate) const RELEASE: &str = "/releases/triage/1.2";
pub(crate) const PASSWORD: &str = "a password of one's own";

/// Signs in and takes a password of one's own, as a new person must.
pub(crate) async fn signed_in() -> Site {
    let mut site = Site::new().await;
    let away = site.get("/ledger?before=3").await;
    assert_eq!(
        (away.status, away.location.as_str()),
        (StatusCode::SEE_OTHER, "/sign-in?next=/ledger%3Fbefore%3D3")
    );
    let wrong = site
        .post("/sign-in", &[("login", "grace"), ("password", "guess")])
        .await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.html.contains("wrong-credentials"));
    let right = [
        ("login", "Grace"),
        ("password", FIRST_PASSWORD),
        ("next", "/"),
    ];
    assert_eq!(site.post("/sign-in", &right).await.location, "/password");
    assert_eq!(site.get("/").await.location, "/password");
    let form = site.get("/password").await.html;
    let (csrf, once) = (
        hidden(&form, "/password\" class", "csrf"),
        hidden(&form, "/password\" class", "once"),
    );
    let change = [
        ("csrf", csrf.as_str()),
        ("once", once.as_str()),
        ("current", FIRST_PASSWORD),
        ("new", PASSWORD),
        ("again", PASSWORD),
    ];
    let differ = change.map(|(name, value)| (name, if name == "again" { "other" } else { value }));
    let refused = site.post("/password", &differ).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.html.contains("passwords-differ"));
    assert_eq!(site.post("/password", &change).await.location, "/");
    site
}

/// Sends the form `action` of the release page, its hidden fields filled, with `fields` over them.
pub(crate) async fn act(site: &mut Site, action: &str, fields: &[(&str, &str)]) -> Answer {
    send(site, RELEASE, &format!("{RELEASE}/{action}"), fields).await
}

/// Sends the form of `page` that leads to `target`, its hidden fields filled, with `fields` over them.
pub(crate) async fn send(
    site: &mut Site,
    page: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let page = site.get(page).await.html;
    let place = format!("action=\"{target}\"");
    let mut all = Vec::new();
    for name in ["csrf", "once", "review", "record", "claim"] {
        let form = page.split(&place).nth(1).unwrap_or_default();
        let form = form.split("</form>").next().unwrap_or_default();
        if form.contains(&format!("name=\"{name}\"")) {
            all.push((name, hidden(&page, &place, name)));
        }
    }
    let mut sent: Vec<(&str, &str)> = all.iter().map(|(n, v)| (*n, v.as_str())).collect();
    sent.retain(|(name, _)| fields.iter().all(|(given, _)| given != name));
    sent.extend(fields);
    site.post(target, &sent).await
}

#[tokio::test]
async fn a_reviewer_reads_claims_and_remarks() {
    let mut site = signed_in().await;
    let inbox = site.get("/").await;
    assert_eq!(inbox.status, StatusCode::OK);
    for needed in [
        "triage/1.2",
        "its authors: 1 author claim",
        "97.50 %",
        "Sandbox.",
    ] {
        assert!(inbox.html.contains(needed), "{needed}: {}", inbox.html);
    }
    let page = site.get(RELEASE).await.html;
    for needed in [
        "Nothing: every rule that applies holds",
        "new backbone",
        "1 found",
        "unresolved",
        "Not now:",
    ] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains("<b>Byron"));

    assert_eq!(
        act(&mut site, "claim", &[]).await.status,
        StatusCode::SEE_OTHER
    );
    let forged = act(
        &mut site,
        "remark",
        &[("csrf", "forged"), ("text", "hello")],
    )
    .await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert!(forged.html.contains("wrong-form") && forged.html.contains("Go back"));
    let remark = act(&mut site, "remark", &[("text", HOSTILE)]).await;
    assert_eq!(remark.location, "/releases/triage/1.2?env=production");
}

#[tokio::test]
async fn a_signature_has_its_grade_and_binds_the_record_that_was_read() {
    let mut site = signed_in().await;
    let claimed = act(&mut site, "claim", &[]).await;
    assert_eq!(claimed.status, StatusCode::SEE_OTHER);
    let verdict = [("verdict", "approve"), ("reason", "I read all of it.")];
    let without = act(&mut site, "sign", &verdict).await;
    assert_eq!(without.status, StatusCode::FORBIDDEN);
    assert!(without.html.contains("grade-too-low"), "{}", without.html);
    let stale = lumos_domain::id::Digest::of(b"an older record").to_string();
    let with = [verdict[0], verdict[1], ("password", PASSWORD)];
    let old = act(
        &mut site,
        "sign",
        &[with[0], with[1], with[2], ("record", &stale)],
    )
    .await;
    assert_eq!(old.status, StatusCode::CONFLICT);
    assert!(old.html.contains("stale-record"));
    let signed = act(&mut site, "sign", &with).await;
    assert_eq!(signed.status, StatusCode::SEE_OTHER, "{}", signed.html);

    let page = site.get(&signed.location).await.html;
    for needed in [
        "The release may run here",
        "I read all of it.",
        "part 11, with password",
        "I reviewed this record and approve",
        "this is Grace",
        "There is nothing to sign",
    ] {
        assert!(page.contains(needed), "{needed}: {page}");
    }
    assert!(
        site.get("/")
            .await
            .html
            .contains("Nothing here waits for your signature")
    );

    let revoked = act(&mut site, "revoke", &[("reason", "It harms people.")]).await;
    assert_eq!(revoked.status, StatusCode::SEE_OTHER);
    assert!(
        site.get(RELEASE)
            .await
            .html
            .contains("The approval does not hold: it was revoked")
    );
}

#[tokio::test]
async fn one_form_sent_twice_acts_once() {
    let mut site = signed_in().await;
    let page = site.get(RELEASE).await.html;
    let place = format!("action=\"{RELEASE}/remark\"");
    let (csrf, once) = (hidden(&page, &place, "csrf"), hidden(&page, &place, "once"));
    let send = |text| {
        [
            ("csrf", csrf.as_str()),
            ("once", once.as_str()),
            ("review", "triage/1.2/production/1"),
            ("text", text),
        ]
    };
    for text in ["first", "first", "second"] {
        let sent = site.post(&format!("{RELEASE}/remark"), &send(text)).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(
        site.get(RELEASE)
            .await
            .html
            .matches("class=\"remark\"")
            .count(),
        2
    );
}

#[tokio::test]
async fn the_ledger_page_holds_a_proof_that_verifies() {
    let mut site = signed_in().await;
    assert!(
        site.get("/ledger/entry/3")
            .await
            .html
            .contains("No published checkpoint covers this entry yet")
    );
    site.checkpoint().await;
    let list = site.get("/ledger?before=9").await.html;
    assert!(
        list.contains("founded by Ada &#60;b&#62;Byron")
            && list.contains("href=\"/ledger/entry/8\""),
        "{list}"
    );
    let store = &site.door.ports().store.clone();
    let frontier = store.frontier().await.unwrap();
    for index in [0, 3, frontier.size() - 1] {
        let html = site.get(&format!("/ledger/entry/{index}")).await.html;
        let hashes = html
            .split("<ol id=\"hashes\">")
            .nth(1)
            .unwrap()
            .split("</ol>")
            .next()
            .unwrap();
        let base64 = |text: &str| text.replace("&#43;", "+").replace("&#47;", "/");
        let proof: Vec<_> = hashes
            .split("<code>")
            .skip(1)
            .map(|h| {
                lumos_ledger::Hash::from_base64(&base64(h.split('<').next().unwrap())).unwrap()
            })
            .collect();
        let bytes = store.entries(index, 1).await.unwrap().remove(0).bytes;
        let leaf = lumos_ledger::tree::leaf_hash(&bytes);
        let root = frontier.root();
        let verdict =
            lumos_ledger::proof::verify_inclusion(leaf, index, frontier.size(), &root, &proof);
        assert_eq!(verdict, Ok(()), "entry {index}");
    }
    // What is sealed is opened for readers, except what is a secret's hash.
    let all = store.entries(0, 1_000).await.unwrap();
    let credential = all
        .iter()
        .find(|e| String::from_utf8_lossy(&e.bytes).contains("credential.set"))
        .unwrap();
    let html = site
        .get(&format!("/ledger/entry/{}", credential.index))
        .await
        .html;
    assert!(html.contains("kept secret") && !html.contains("argon2"));
    assert_eq!(
        site.get("/ledger/entry/99999").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn every_page_opens_and_says_what_a_browser_may_do() {
    let mut site = signed_in().await;
    for place in [
        "/",
        "/?show=mine",
        "/?after=99",
        "/releases",
        "/releases?before=1",
        RELEASE,
        "/ledger",
        "/ledger/entry/0",
        "/models",
        "/models?after=a",
        "/models/triage",
        "/systems",
        "/policies",
        "/runtime",
        "/password",
    ] {
        let answer = site.get(place).await;
        assert_eq!(answer.status, StatusCode::OK, "{place}: {}", answer.html);
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{place}"
        );
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{place}");
        assert_eq!(
            answer.headers[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff",
            "{place}"
        );
    }
    for (place, status) in [
        ("/releases/triage/9", StatusCode::NOT_FOUND),
        ("/releases/tri age/9", StatusCode::BAD_REQUEST),
        ("/models/nobody", StatusCode::NOT_FOUND),
        ("/ledger/entry/x", StatusCode::BAD_REQUEST),
        ("/?after=x", StatusCode::BAD_REQUEST),
    ] {
        let answer = site.get(&place.replace(' ', "%20")).await;
        assert_eq!(answer.status, status, "{place}");
        assert!(answer.html.contains("Go back"), "{place}: {}", answer.html);
    }
    let sheet = site.get("/").await.html;
    let address = sheet
        .split("rel=\"stylesheet\" href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let css = site.get(&address).await;
    assert!(
        css.headers[header::CACHE_CONTROL]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let csrf = hidden(&sheet, "/sign-out", "csrf");
    assert_eq!(
        site.post("/sign-out", &[("csrf", &csrf)]).await.location,
        "/sign-in"
    );
    assert_eq!(site.get("/runtime").await.status, StatusCode::SEE_OTHER);
}
