//! Readers and stores that are slower than credentials are looked at.

use super::*;

/// Whoever reads, or the store, is slower than credentials are looked at: each look lets an event through.
#[tokio::test]
async fn a_slow_store_starves_nobody() {
    let site = with_agent().await;
    let who = token(&site, "t1", 24 * 30, &[Right::Read]).await;
    append(&site, "more", 40).await;
    site.checkpoint().await;
    let last = size(&site).await - 1;
    let mut prompt = Reader::of(opened(&site, &who, "?from=0").await);
    let expected = prompt.until(last).await;
    site.clock.slow(2);
    let mut slow = Reader::of(opened(&site, &who, "?from=0").await);
    assert_eq!(slow.until(last).await, expected);
}

/// What was read before the reader lost it is not sent after.
#[tokio::test]
async fn what_waits_is_held_back_from_whoever_may_not_read_it_any_more() {
    let site = with_agent().await;
    let letters = Governed::GrantRole {
        person: ROBOT.parse().unwrap(),
        grant: Grant {
            role: "checker".parse().unwrap(),
            scope: Scope::Model("letters".parse().unwrap()),
        },
    };
    site.as_ada("letters", |_| letters.into()).await;
    let who = token(&site, "t1", 24, &[Right::Read]).await;
    site.checkpoint().await;
    let last = size(&site).await - 1;
    let mut reader = Reader::of(opened(&site, &who, "?from=0").await);
    // A page of entries waits, of which the first one was taken.
    reader.entry().await.unwrap();
    let revoked = Command::RevokeRole {
        person: ROBOT.parse().unwrap(),
        grant: Grant {
            role: "checker".parse().unwrap(),
            scope: Scope::Model("triage".parse().unwrap()),
        },
    };
    site.as_ada("less", |_| revoked).await;
    site.clock.forward(1);
    assert_eq!(reader.until(last).await, Vec::<u64>::new());
}
