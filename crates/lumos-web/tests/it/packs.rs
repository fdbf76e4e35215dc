//! Evidence packs that somebody asks for and does not read.

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    response::Response,
};
use tower::ServiceExt as _;

use crate::{
    events::ada,
    pages::signed_in,
    site::{Answer, Site},
};

const PACK: &str = "/api/v1/releases/triage/1.2/evidence-pack";
const PAGE: &str = "/releases/triage/1.2/evidence-pack/";

async fn pack(site: &Site, credential: &str) -> Response {
    let asked = Request::get(PACK).header(header::AUTHORIZATION, credential);
    let asked = asked.body(Body::empty()).unwrap();
    site.router.clone().oneshot(asked).await.unwrap()
}

fn is_busy(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.html.contains("busy"), "{}", answer.html);
    assert_eq!(answer.headers[header::RETRY_AFTER], "10");
}

/// Each is a file on the disk until it is sent: whoever reads none gets no third one, as a program or on a page.
#[tokio::test]
async fn whoever_does_not_read_what_was_made_gets_no_more() {
    let mut site = signed_in().await;
    let who = ada(&mut site).await;
    site.checkpoint().await;
    let made = pack(&site, &who).await;
    assert_eq!(made.status(), StatusCode::OK);
    let another = pack(&site, &who).await;
    assert_eq!(another.status(), StatusCode::OK);
    let third = pack(&site, &who).await;
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(third.headers()[header::RETRY_AFTER], "10");
    is_busy(&site.get(PAGE).await);

    // Read to its end, or given up, it makes room.
    let bytes = to_bytes(made.into_body(), 64 << 20).await.unwrap();
    assert!(bytes.len() > 512);
    assert_eq!(site.get(PAGE).await.status, StatusCode::OK);
    drop(another);
    for _ in 0..2 {
        assert_eq!(pack(&site, &who).await.status(), StatusCode::OK);
    }
}
