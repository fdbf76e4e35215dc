//! Entries brought to the webhooks of outside agents: every one that the agent may read and asks for, under a signed
//! checkpoint, at least once, and under the same id each time.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use lumos_domain::{
    actor::{Actor, Caller},
    id::{Digest, OutsideAgentName, PersonId},
};
use tokio::sync::watch;

use crate::{
    door::{Door, DoorError},
    notary::Published,
    pick::Pick,
    ports::{Entropy, Message, PortError, Received, StoredEntry, Webhook},
    reach::Reach,
    record::LedgerEntry,
    runtime::{self, Follow, HandleError, Taken},
};

/// Attempts before a delivery is a dead letter: with the waits below, a day and a half.
const ATTEMPTS_MAX: i64 = 20;
/// The longest wait between two attempts.
const WAIT_S_MAX: u64 = 6 * 3_600;
/// Characters of a receiver's answer that are kept.
const PROBLEM_CHARS: usize = 300;

/// An outside agent's webhook, as it follows the ledger.
pub struct Deliveries {
    name: String,
    agent: OutsideAgentName,
    pick: Pick,
    webhook: Arc<dyn Webhook>,
    published: watch::Receiver<Published>,
    /// What tells this ledger's message ids from another's.
    ledger: String,
}

impl Deliveries {
    /// What brings the entries that `pick` wants to the webhook of `agent`.
    #[must_use]
    pub fn new(
        agent: OutsideAgentName,
        pick: Pick,
        webhook: Arc<dyn Webhook>,
        published: watch::Receiver<Published>,
        origin: &str,
    ) -> Self {
        Self {
            name: format!("{}{agent}", runtime::WEBHOOK),
            agent,
            pick,
            webhook,
            published,
            ledger: Digest::of(origin.as_bytes()).hex()[..12].to_owned(),
        }
    }

    /// What the agent may read now; `None` when nothing, because it is not defined or was suspended.
    async fn reach(&self, door: &Door) -> Result<Option<Reach>, DoorError> {
        let agent = &self.agent;
        let account: Option<PersonId> = door
            .ask(|world| {
                let agents = &world.org()?.agents;
                Ok(agents.get(agent).map(|agent| agent.account.clone()))
            })
            .await?;
        match account {
            Some(account) => Reach::of(door, &Caller::new(Actor::Service(account))).await,
            None => Ok(None),
        }
    }

    async fn bring(&self, door: &Door, stored: &StoredEntry) -> Result<Received, PortError> {
        let message = Message {
            id: format!("msg_{}_{}", self.ledger, stored.index),
            sent: door.ports().clock.now(),
            body: stored.bytes.clone(),
        };
        self.webhook.deliver(&message).await
    }
}

#[async_trait]
impl Follow for Deliveries {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, entry: &LedgerEntry) -> bool {
        self.pick.wants(entry)
    }

    async fn follow(
        &self,
        door: &Door,
        taken: Taken,
        stored: &StoredEntry,
        entry: &LedgerEntry,
    ) -> Result<(), HandleError> {
        // What the agent may read is asked when it is brought, not when it was queued.
        let Some(mut reach) = self.reach(door).await? else {
            return Err(HandleError::transient("the agent may read nothing now"));
        };
        if !reach.covers(door, &entry.stream).await? {
            return Ok(());
        }
        let entropy = &*door.ports().entropy;
        let later = |problem: String, asked: Option<u64>| {
            let seconds = asked.unwrap_or(0).max(wait_s(taken.attempt, entropy));
            let seconds = i64::try_from(seconds.min(WAIT_S_MAX)).unwrap_or(i64::MAX);
            Err(HandleError {
                after: Some(SignedDuration::from_secs(seconds)),
                ..HandleError::transient(problem)
            })
        };
        match self.bring(door, stored).await {
            Ok(Received::Taken) => Ok(()),
            Ok(Received::Gone) => {
                let problem = "the receiver answered 410: it wants no more";
                let now = door.ports().clock.now();
                runtime::hold(&*door.ports().store, &self.name, problem, now).await?;
                tracing::error!(agent = %self.agent, "a webhook answered 410; nothing is brought to it any more");
                later(problem.to_owned(), None)
            }
            Ok(Received::Refused {
                status,
                problem,
                after_s,
            }) => {
                let said: String = problem.chars().take(PROBLEM_CHARS).collect();
                later(format!("the receiver answered {status}: {said}"), after_s)
            }
            Err(failed) => later(format!("{failed}: {}", failed.source), None),
        }
    }

    async fn is_held(&self, door: &Door) -> Result<bool, PortError> {
        if runtime::is_held(&*door.ports().store, &self.name).await? {
            return Ok(true);
        }
        match self.reach(door).await {
            Ok(reach) => Ok(reach.is_none()),
            Err(DoorError::Store(failed)) => Err(failed),
            Err(error) => Err(PortError::new("asking what an agent may read", error)),
        }
    }

    fn published(&self) -> Option<watch::Receiver<Published>> {
        Some(self.published.clone())
    }

    fn begins_with_what_is_new(&self) -> bool {
        true
    }

    fn attempts_max(&self) -> i64 {
        ATTEMPTS_MAX
    }
}

/// Seconds until the next attempt: doubled each time, and up to half as long again by chance, so that what failed
/// together does not come back together.
fn wait_s(attempt: i64, entropy: &dyn Entropy) -> u64 {
    let tries = u32::try_from(attempt % 1_000).unwrap_or(0).clamp(1, 20);
    let doubled = (1_u64 << tries).min(WAIT_S_MAX);
    let mut drawn = [0; 8];
    entropy.fill(&mut drawn);
    doubled + u64::from_le_bytes(drawn) % (doubled / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(u8);

    impl Entropy for Dice {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn waits_grow_differ_and_end() {
        let least = |attempt| wait_s(attempt, &Dice(0));
        assert_eq!(
            [1, 2, 3, 10, 14, 15, 20].map(least),
            [2, 4, 8, 1_024, 16_384, 21_600, 21_600]
        );
        // The second round begins as the first did.
        assert_eq!(least(1_001), least(1));
        for attempt in 0..40 {
            let most = wait_s(attempt, &Dice(255));
            assert!(most >= least(attempt) && most <= least(attempt) * 3 / 2);
        }
    }
}
