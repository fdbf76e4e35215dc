//! Enforcement decisions: a signed snapshot of the ledger, kept fresh, and what was decided from it.
//!
//! The decision itself is `lumos-enforce`'s. Here it is fed, counted, and its first denials recorded.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    actor::{Caller, OwnAgent},
    command::Command,
    event::DenialRecorded,
    id::{AgentRef, Digest, Environment, ModelName, SystemName},
};
use lumos_enforce::{
    Decision, Question, Snapshot,
    decision::Verdict,
    dsse::{Envelope, StatementSigner},
    snapshot::{ApprovalEntry, AssignmentEntry, ModeEntry, SystemEntry},
};
use lumos_engine::{
    Door, DoorError, Request,
    pack::Asks,
    ports::{PortError, Statement, Store, Value},
    views,
};

use tokio::sync::Mutex;

use crate::problem::Problem;

/// The table of decisions: one aggregated row for each (snapshot, question). Operational state.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS decisions (
    decision TEXT PRIMARY KEY, question TEXT NOT NULL, answer TEXT NOT NULL, asked BIGINT NOT NULL,
    first_us BIGINT NOT NULL, last_us BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS decisions_last ON decisions (last_us)",
];

/// How long a snapshot may be used without asking again (DECISIONS 16).
const VALID: SignedDuration = SignedDuration::from_secs(60);

/// Attempts to make a denial an entry, per system and hour.
const DENIALS_MAX: u32 = 1_000;

/// A snapshot and its signature.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What it says.
    pub snapshot: Snapshot,
    /// The envelope others verify.
    pub envelope: Envelope,
}

/// Makes snapshots and answers questions from them.
pub struct Decisions {
    door: Door,
    origin: String,
    signer: StatementSigner,
    latest: RwLock<Option<Arc<Signed>>>,
    gathering: Mutex<()>,
    denials: std::sync::Mutex<BTreeMap<(SystemName, i64), u32>>,
}

impl Decisions {
    /// Decisions over the ledger behind `door`, signed by `signer`.
    #[must_use]
    pub fn new(door: Door, origin: &str, signer: StatementSigner) -> Self {
        Self {
            door,
            origin: origin.to_owned(),
            signer,
            latest: RwLock::default(),
            gathering: Mutex::default(),
            denials: std::sync::Mutex::default(),
        }
    }

    /// The public key that verifies snapshots.
    #[must_use]
    pub fn public_key(&self) -> &str {
        self.signer.public()
    }

    /// The snapshot of the ledger as it is now: reissued on change and at half its life.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn snapshot(&self) -> Result<Arc<Signed>, Problem> {
        // One at a time: who waits finds the snapshot that was just made.
        let _turn = self.gathering.lock().await;
        let now = self.door.ports().clock.now();
        let frontier = self.door.ports().store.frontier().await?;
        let half = SignedDuration::from_secs(VALID.as_secs() / 2);
        let latest = self.latest.read().ok().and_then(|latest| latest.clone());
        if let Some(signed) = latest
            && signed.snapshot.size == frontier.size()
            && now.duration_since(signed.snapshot.issued_at) < half
        {
            return Ok(signed);
        }
        let snapshot = self
            .gather(frontier.size(), frontier.root().to_base64(), now)
            .await?;
        let envelope = snapshot
            .sign(&self.signer)
            .map_err(|e| PortError::new("signing a snapshot", e))?;
        let signed = Arc::new(Signed { snapshot, envelope });
        if let Ok(mut latest) = self.latest.write() {
            *latest = Some(Arc::clone(&signed));
        }
        Ok(signed)
    }

    async fn systems(&self) -> Result<BTreeMap<SystemName, SystemEntry>, Problem> {
        let mut systems = BTreeMap::new();
        for name in views::models::systems(&*self.door.ports().store).await? {
            let system = self
                .door
                .ask(|world| Ok(world.system(&name)?.clone()))
                .await?;
            let owner = system
                .owner
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let outage = system.outage.into_iter().collect();
            let (agents, stopped) = (system.agents, system.stopped);
            systems.insert(
                name,
                SystemEntry {
                    agents,
                    owner,
                    stopped,
                    outage,
                },
            );
        }
        Ok(systems)
    }

    async fn owners(&self) -> Result<BTreeMap<ModelName, String>, Problem> {
        let mut owners = BTreeMap::new();
        for name in views::models::models(&*self.door.ports().store).await? {
            let owner = self
                .door
                .ask(|world| Ok(world.model(&name)?.owner.clone()))
                .await?;
            owners.extend(owner.map(|owner| (name, owner.to_string())));
        }
        Ok(owners)
    }

    async fn gather(&self, size: u64, root: String, now: Timestamp) -> Result<Snapshot, Problem> {
        let store = &*self.door.ports().store;
        let org = self.door.ask(|world| Ok(world.org()?.clone())).await?;
        let systems = self.systems().await?;
        let owners = self.owners().await?;
        let mut approvals = Vec::new();
        for row in views::enforcement::unexpired(store, now).await? {
            let files = views::releases::files(store, &row.tuple.digest).await?;
            let (review, tuple, revoked) = (row.review, row.tuple, row.revoked);
            approvals.push(ApprovalEntry {
                review,
                tuple,
                revoked,
                files,
            });
        }
        let assignments = views::enforcement::assignments(store).await?;
        let entry = |(assignment, releases)| AssignmentEntry {
            assignment,
            releases,
        };
        Ok(Snapshot {
            origin: self.origin.clone(),
            size,
            root,
            issued_at: now,
            valid_until: now + VALID,
            sandbox: org.sandbox,
            environments: org.gates.keys().cloned().collect(),
            modes: org
                .modes
                .into_iter()
                .map(|((scope, environment), m)| ModeEntry {
                    scope,
                    environment,
                    mode: m.mode,
                    until: m.until,
                })
                .collect(),
            systems,
            owners,
            approvals,
            assignments: assignments.into_iter().map(entry).collect(),
        })
    }

    /// Answers `question`, counts it, and records the first denial of its hour.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn decide(&self, question: &Question) -> Result<Decision, Problem> {
        let signed = self.snapshot().await?;
        let now = self.door.ports().clock.now();
        let decision = lumos_enforce::decide(&signed.snapshot, question, now);
        // The answer stands whether or not it can be written down: a full disk must not open a door.
        if let Err(problem) = self.note(question, &decision, now).await {
            tracing::error!(code = problem.code, "a decision could not be noted");
        }
        Ok(decision)
    }

    async fn note(
        &self,
        question: &Question,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<(), Problem> {
        self.count(question, decision, now).await?;
        match &question.agent {
            Some(agent) if decision.verdict == Verdict::Deny => {
                self.record_denial(agent, question, decision, now).await
            }
            _ => Ok(()),
        }
    }

    async fn count(
        &self,
        question: &Question,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let json = |value: serde_json::Result<String>| Value::from(value.unwrap_or_default());
        let statement = Statement {
            sql: "INSERT INTO decisions (decision, question, answer, asked, first_us, last_us)
                  VALUES ($1, $2, $3, 1, $4, $4)
                  ON CONFLICT (decision) DO UPDATE SET asked = decisions.asked + 1, last_us = excluded.last_us",
            params: vec![
                decision.decision_id.as_str().into(),
                json(serde_json::to_string(question)),
                json(serde_json::to_string(decision)),
                now.into(),
            ],
        };
        self.door.ports().store.execute(vec![statement]).await?;
        Ok(())
    }

    /// Whether one more denial of this system may become an entry in this hour: an asker who invents digests
    /// must not fill the ledger. Every denial is counted all the same.
    fn may_record(&self, system: &SystemName, hour: i64) -> bool {
        let Ok(mut denials) = self.denials.lock() else {
            return false;
        };
        denials.retain(|(_, seen), _| *seen == hour);
        let count = denials.entry((system.clone(), hour)).or_default();
        *count = count.saturating_add(1);
        *count <= DENIALS_MAX
    }

    /// The first denial of an agent, wanted thing and reason in an hour is an entry; the command id says so.
    async fn record_denial(
        &self,
        agent: &AgentRef,
        question: &Question,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<(), Problem> {
        // A system nobody defined has no stream: anybody could invent names to fill the ledger.
        let known = self
            .door
            .ask(|world| Ok(world.system(&agent.system)?.owner.is_some()))
            .await?;
        if !known {
            return Ok(());
        }
        let wanted = match (&question.version, &question.digest) {
            (Some(version), _) => version.to_string(),
            (None, Some(digest)) => digest.to_string(),
            (None, None) => String::new(),
        };
        let hour = now.as_second() / 3_600;
        if !self.may_record(&agent.system, hour) {
            return Ok(());
        }
        let window = format!(
            "{hour} {agent} {} {} {wanted} {}",
            question.environment, question.model, decision.code
        );
        let id = format!(
            "release-monitor.denial.{}",
            Digest::of(window.as_bytes()).hex()
        );
        let command = Command::RecordDenial(DenialRecorded {
            decision: decision.decision_id.clone(),
            agent: agent.clone(),
            environment: question.environment.clone(),
            model: question.model.to_string(),
            wanted,
            reason: decision.code.clone(),
            mode: decision.mode,
        });
        let caller = Caller::agent(OwnAgent::ReleaseMonitor);
        match self
            .door
            .submit(Request::new(caller, id.parse()?, command))
            .await
        {
            Ok(_) | Err(DoorError::Busy) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What was asked and answered under a decision id, and how often.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn why(&self, id: &str) -> Result<Option<Explained>, Problem> {
        let rows = self
            .door
            .ports()
            .store
            .query(
                "SELECT question, answer, asked, first_us, last_us FROM decisions WHERE decision = $1",
                vec![id.into()],
            )
            .await?;
        let explained = |row: &lumos_engine::ports::Row| {
            Some(Explained {
                question: serde_json::from_str(row.text(0)).ok()?,
                decision: serde_json::from_str(row.text(1)).ok()?,
                asked: u64::try_from(row.int(2)?).ok()?,
                first: row.time(3)?,
                last: row.time(4)?,
            })
        };
        Ok(rows.first().and_then(explained))
    }
}

/// How often each agent asked, as far as the counts are kept.
///
/// # Errors
/// When the store fails.
pub async fn asks(store: &dyn Store) -> Result<Vec<Asks>, PortError> {
    let sql = "SELECT question, asked, last_us FROM decisions";
    let mut all: BTreeMap<(AgentRef, Environment), (u64, Timestamp)> = BTreeMap::new();
    for row in store.query(sql, Vec::new()).await? {
        let question: Option<Question> = serde_json::from_str(row.text(0)).ok();
        let Some((question, last)) = question.zip(row.time(2)) else {
            continue;
        };
        if let Some(agent) = question.agent {
            let key = (agent, question.environment);
            let counted = all.entry(key).or_insert((0, Timestamp::MIN));
            counted.0 += row
                .int(1)
                .and_then(|asked| u64::try_from(asked).ok())
                .unwrap_or(0);
            counted.1 = counted.1.max(last);
        }
    }
    let asks = all
        .into_iter()
        .map(|((agent, environment), (asked, last))| Asks {
            agent,
            environment,
            asked,
            last,
        });
    Ok(asks.collect())
}

/// A decision, explained.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Explained {
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub decision: Decision,
    /// How often on this snapshot.
    pub asked: u64,
    /// For the first time.
    pub first: Timestamp,
    /// For the last time.
    pub last: Timestamp,
}
