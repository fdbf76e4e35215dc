//! What people and the registry do, one step after the other, whatever becomes of LUMOS meanwhile. Whoever gets no
//! answer asks again, under the same command id; whoever is refused waits until something changed.

use std::{fs, path::Path};

use anyhow::Result;
use jiff::SignedDuration;
use lumos_domain::{
    command::Command,
    facts::Cause,
    id::{Environment, ReleaseId, ReviewId},
    log_review::{self, Schedule, SetLogReview, SignLogReview},
    proposal::Governed,
    review::Sign,
    words::{Finding, Grade, Verdict},
};
use lumos_engine::{Door, DoorError, Request, ports::Clock as _, secret::Sealer, views};
use serde_json::json;

use crate::{house, world::Outside};

const PROMPTS: [&str; 2] = [
    "How urgent is this? Answer low, soon or now.\n",
    "How urgent is this? Answer low, soon or now, and say why.\n",
];

/// A version that two people sign, and a tweak that a rule approves and a person revokes.
const ORDINARY: &[Step] = &[
    Step::Publish("1", PROMPTS[0]),
    Step::Claim("1"),
    Step::Sign("compliance", "1"),
    Step::Sign("expert", "1"),
    Step::Publish("2", PROMPTS[1]),
    Step::Claim("2"),
    Step::Revoke("2"),
];

/// A tweak that waits until the approval of what it is measured by has ended: nothing is a tweak of nothing.
const EXPIRING: &[Step] = &[
    Step::Publish("1", PROMPTS[0]),
    Step::Claim("1"),
    Step::Sign("compliance", "1"),
    Step::Sign("expert", "1"),
    Step::Days(170),
    Step::Publish("2", PROMPTS[1]),
    Step::Reviewed("2"),
    Step::Days(11),
    Step::Claim("2"),
    Step::Sign("compliance", "2"),
    Step::Sign("expert", "2"),
    // It waited too long: the senior role was called.
    Step::Sign("administrator", "2"),
];

/// After the ordinary story the developer leaves, is erased when the last period ends, and everything else goes on.
const ERASING: &[Step] = &[
    Step::Suspend("developer"),
    Step::Erase("developer"),
    Step::Confirm("compliance"),
    Step::Days(3_700),
    Step::Erased("developer"),
];

/// After the ordinary story somebody is asked to examine the log, is late, and signs for all of it.
const EXAMINING: &[Step] = &[
    Step::AskForLogReviews("administrator"),
    Step::Days(31),
    Step::LogDue,
    Step::Days(7),
    Step::LogMissed,
    Step::SignLog("expert"),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A version appears in the registry, with this prompt.
    Publish(&'static str, &'static str),
    /// Its developer says that they wrote it.
    Claim(&'static str),
    /// Somebody approves it.
    Sign(&'static str, &'static str),
    /// Its approval is revoked.
    Revoke(&'static str),
    /// Its review is open.
    Reviewed(&'static str),
    /// So many days pass.
    Days(i64),
    /// An account may act no more.
    Suspend(&'static str),
    /// It is asked that its person be erased.
    Erase(&'static str),
    /// Somebody confirms what waits for a second person.
    Confirm(&'static str),
    /// The person is erased.
    Erased(&'static str),
    /// It is asked that the log be examined every 30 days.
    AskForLogReviews(&'static str),
    /// The log must be examined.
    LogDue,
    /// Nobody did in time.
    LogMissed,
    /// Somebody signs for every entry there is.
    SignLog(&'static str),
}

/// How far the people are. Outlives every process.
#[derive(Debug, Clone)]
pub struct Story {
    /// Its steps, in parts that stories have in common.
    parts: &'static [&'static [Step]],
    /// Which of its two versions is approved in the end.
    pub(crate) holds: &'static str,
    done: usize,
    /// How many writes had come when its last part began.
    pub(crate) before: usize,
    /// What somebody was told last who did not get what they wanted.
    pub refused: String,
}

/// What came of one look.
pub(crate) enum Came {
    /// The next step can begin.
    Done,
    /// Not yet; this is why.
    Waits(String),
}

impl Story {
    /// A release that two people sign, a tweak that a rule approves, its revocation.
    #[must_use]
    pub const fn ordinary() -> Self {
        Self::of(&[ORDINARY], "1")
    }

    /// A tweak whose measure expires while it waits.
    #[must_use]
    pub const fn expiring() -> Self {
        Self::of(&[EXPIRING], "2")
    }

    /// A developer who leaves and is erased; no approval outlives the years that takes.
    #[must_use]
    pub const fn erasing() -> Self {
        Self::of(&[ORDINARY, ERASING], "none")
    }

    /// A review of the log that is signed too late.
    #[must_use]
    pub const fn examining() -> Self {
        Self::of(&[ORDINARY, EXAMINING], "1")
    }

    const fn of(parts: &'static [&'static [Step]], holds: &'static str) -> Self {
        Self {
            parts,
            holds,
            done: 0,
            before: 0,
            refused: String::new(),
        }
    }

    /// Whether everything was done and acknowledged.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.next().is_none()
    }

    fn next(&self) -> Option<Step> {
        let steps = self.parts.iter().copied().flatten();
        steps.copied().nth(self.done)
    }

    /// How many steps were done.
    pub(crate) const fn done(&self) -> usize {
        self.done
    }

    /// Takes what came of the next step, when so many writes had come.
    pub(crate) fn came(&mut self, came: Came, writes: usize) -> bool {
        match came {
            Came::Done => {
                self.done += 1;
                let last = self.parts.last().map_or(0, |last| last.len());
                let steps: usize = self.parts.iter().map(|part| part.len()).sum();
                if self.done == steps - last {
                    self.before = writes;
                }
                true
            }
            Came::Waits(why) => {
                self.refused = why;
                false
            }
        }
    }
}

/// Tries the next step of `story`.
///
/// # Errors
/// When a file cannot be written.
pub(crate) async fn attempt(door: &Door, outside: &Outside, story: &Story) -> Result<Came> {
    let Some(step) = story.next() else {
        return Ok(Came::Waits("the story is told".to_owned()));
    };
    let (login, command) = match step {
        Step::Reviewed(_) | Step::Erased(_) | Step::Days(_) | Step::LogDue | Step::LogMissed => {
            return looked(door, outside, step).await;
        }
        Step::Publish(version, prompt) => {
            if version != "1" && !settled(door, "1").await {
                return Ok(Came::Waits("version 1 is not promoted".to_owned()));
            }
            publish(&outside.models().join("triage").join(version), prompt)?;
            outside.plan.changed();
            return Ok(Came::Done);
        }
        Step::Claim(version) => ("developer", claim(door, version).await?),
        Step::Sign(login, version) => (login, sign(door, version).await?),
        Step::Revoke(version) => {
            if !settled(door, version).await {
                return Ok(Came::Waits(format!("version {version} is not promoted")));
            }
            ("compliance", revoke(version)?)
        }
        Step::AskForLogReviews(login) => (login, ask_for_log_reviews()?),
        Step::SignLog(login) => (login, sign_log(door).await?),
        Step::Suspend(login) => ("administrator", leave(login, false)?),
        Step::Erase(login) => ("administrator", leave(login, true)?),
        Step::Confirm(login) => {
            // It may have happened although nobody was told: then nothing waits any more.
            let leaver = house::person("developer")?;
            let waits = door.ask(|world| Ok(world.person(&leaver)?.erasure.is_some()));
            if waits.await.unwrap_or(false) {
                return Ok(Came::Done);
            }
            (login, confirm(door, outside).await?)
        }
    };
    let Some(command) = command else {
        return Ok(Came::Waits(
            "there is no review of it, or its author is unknown".to_owned(),
        ));
    };
    let ports = door.ports();
    let mut sealer = Sealer::new(&*ports.entropy);
    let command = command(&mut sealer);
    let mut request = Request::new(
        house::caller(login)?,
        format!("story.{}", story.done).parse()?,
        command,
    );
    request.sealed = sealer.into_values();
    match door.submit(request).await {
        Ok(_) => Ok(Came::Done),
        Err(error @ DoorError::Store(_)) => {
            // Nobody knows what came of it: they ask again.
            outside.plan.changed();
            Ok(Came::Waits(error.to_string()))
        }
        Err(error) => Ok(Came::Waits(error.to_string())),
    }
}

/// A step in which nobody asks for anything: something is so by now, or time passes.
async fn looked(door: &Door, outside: &Outside, step: Step) -> Result<Came> {
    match step {
        Step::Reviewed(version) => Ok(match claim(door, version).await? {
            Some(_) => Came::Done,
            None => Came::Waits(format!("version {version} is not under review")),
        }),
        Step::Erased(login) => {
            let person = house::person(login)?;
            let erased = door.ask(|world| Ok(world.person(&person)?.erased)).await;
            Ok(match erased {
                Ok(true) => Came::Done,
                _ => Came::Waits(format!("{login} is not erased")),
            })
        }
        Step::LogDue | Step::LogMissed => {
            let open = door.ask(|world| Ok(world.log_review()?.open.clone())).await;
            let missed = open.ok().flatten().map(|open| open.missed);
            Ok(match (step, missed) {
                (Step::LogDue, Some(_)) | (Step::LogMissed, Some(1..)) => Came::Done,
                _ => Came::Waits("the clock has not looked at the log review".to_owned()),
            })
        }
        Step::Days(days) => {
            let then = outside.clock.now() + SignedDuration::from_hours(24 * days);
            outside.clock.reach(then);
            outside.plan.changed();
            Ok(Came::Done)
        }
        _ => Ok(Came::Waits("somebody has to ask".to_owned())),
    }
}

/// A command that still wants its words sealed.
type Unsealed = Option<Box<dyn FnOnce(&mut Sealer<'_>) -> Command + Send>>;

fn release(version: &str) -> Result<ReleaseId> {
    Ok(ReleaseId {
        model: "triage".parse()?,
        version: version.parse()?,
    })
}

/// The first review of a version, which is its only one.
///
/// # Errors
/// Never: it is a name.
pub fn review(version: &str) -> Result<ReviewId> {
    let environment: Environment = "production".parse()?;
    let release = release(version)?;
    Ok(ReviewId {
        model: release.model,
        version: release.version,
        environment,
        round: 1,
    })
}

/// A claim of authorship; none while there is no review, so that every story is told in the same order.
async fn claim(door: &Door, version: &str) -> Result<Unsealed> {
    let (review, release) = (review(version)?, release(version)?);
    let seen = door.ask(|world| Ok(world.review(&review)?.record.is_some()));
    if !seen.await.unwrap_or(false) {
        return Ok(None);
    }
    Ok(Some(Box::new(move |_| Command::ClaimAuthorship {
        release,
        claim: 1,
    })))
}

/// A signature on the record as it stands; none while there is no record or the author is unknown.
async fn sign(door: &Door, version: &str) -> Result<Unsealed> {
    let (review, release) = (review(version)?, release(version)?);
    let seen = door
        .ask(|world| {
            let claimed = world.release(&release)?.open_claims.is_empty();
            Ok((claimed, world.review(&review)?.record_hash))
        })
        .await;
    let Ok((true, Some(record))) = seen else {
        return Ok(None);
    };
    Ok(Some(Box::new(move |sealer| {
        Command::Sign(Sign {
            review,
            verdict: Verdict::Approve,
            slot: None,
            reason: sealer.seal("read the report and the evidence"),
            record,
        })
    })))
}

fn revoke(version: &str) -> Result<Unsealed> {
    let review = review(version)?;
    Ok(Some(Box::new(move |sealer| Command::RevokeApproval {
        review,
        cause: Cause::Person,
        reason: Some(sealer.seal("a recall")),
    })))
}

fn ask_for_log_reviews() -> Result<Unsealed> {
    let schedule = Schedule {
        role: "domain-expert".parse()?,
        every_days: 30,
        within_days: 7,
        grade: Grade::Recorded,
    };
    Ok(Some(Box::new(move |sealer| {
        let reason = sealer.seal("a rule of the house");
        let schedule = Some(schedule);
        Governed::SetLogReview(SetLogReview { schedule, reason }).into()
    })))
}

/// A signature on every entry since the last one; none while there is nothing to examine.
async fn sign_log(door: &Door) -> Result<Unsealed> {
    let size = door.ports().store.frontier().await?.size();
    let Ok(span) = door.ask(|world| log_review::span(world, size)).await else {
        return Ok(None);
    };
    let Ok(examined) = door.examined(span).await else {
        return Ok(None);
    };
    Ok(Some(Box::new(move |sealer| {
        Command::SignLogReview(SignLogReview {
            from: span.from,
            size: span.size,
            root: examined.root(),
            record: examined.record(),
            finding: Finding::Nothing,
            reason: sealer.seal("looked at every change of people"),
        })
    })))
}

/// Suspends somebody, or asks that they be erased.
fn leave(login: &str, for_ever: bool) -> Result<Unsealed> {
    let person = house::person(login)?;
    Ok(Some(Box::new(move |sealer| {
        let reason = sealer.seal("left");
        match for_ever {
            false => Command::SuspendPerson { person, reason },
            true => Governed::ErasePerson { person, reason }.into(),
        }
    })))
}

/// Confirms what waits; none while nothing does.
async fn confirm(door: &Door, outside: &Outside) -> Result<Unsealed> {
    let now = outside.clock.now();
    let waiting = views::proposals::waiting(&*door.ports().store, now).await?;
    let Some(row) = waiting.into_iter().next() else {
        return Ok(None);
    };
    let proposal = row.proposal;
    Ok(Some(Box::new(move |_| Command::ConfirmProposal {
        proposal,
        half: None,
    })))
}

/// Whether the registry was seen to follow the approval of a version.
async fn settled(door: &Door, version: &str) -> bool {
    let Ok(release) = release(version) else {
        return false;
    };
    let asked = door.ask(|world| {
        let promotions = &world.release(&release)?.promotions;
        Ok(promotions.values().any(|promotion| promotion.settled))
    });
    asked.await.unwrap_or(false)
}

const CARD: &str = "---
license: apache-2.0
---

# Triage

## Intended use

Suggests to Acme's intake staff how urgently a request must be looked at. A person reads the suggestion and
decides; the model never answers a requester itself and is not used for any other decision.

## Limitations

Very short requests, and requests in other languages than the ones it was trained on, are judged less well.
Nobody has measured it on requests from outside Acme.
";

/// Puts a version into the registry; its mark of completeness comes last.
fn publish(folder: &Path, prompt: &str) -> std::io::Result<()> {
    let header = json!({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).to_string();
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend_from_slice(header.as_bytes());
    weights.extend_from_slice(&[7; 8]);
    let metric = json!({"suite": "holdout", "name": "accuracy", "slice": "all", "value": 0.94});
    let evaluation = json!({"metrics": [metric], "dataset": "acme-holdout", "source": "file"});
    let rollback = json!({"summary": "Return to the release before; it takes five minutes."});
    fs::create_dir_all(folder.join(".evidence"))?;
    for (name, bytes) in [
        ("model.safetensors", weights),
        ("prompt.txt", prompt.into()),
        ("README.md", CARD.into()),
        (".author", "dev@acme.example\n".into()),
        (".evidence/evaluation.json", evaluation.to_string().into()),
        (".evidence/rollback_plan.json", rollback.to_string().into()),
        (".complete", Vec::new()),
    ] {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
