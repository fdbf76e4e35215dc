//! Acme, a small organisation at its start, and the steps of a release there. Every step is written into a
//! log that a story compares with what a person would expect to read.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    Command,
    actor::{Actor, Caller, OwnAgent, Right},
    event::{CandidateDetected, EvidenceRecorded},
    facts::{BundleRef, Claim, ReportFacts, ReportedResult, Source},
    id::{AgentRef, AssignmentId, Digest, Environment, PersonId, ReleaseId, ReviewId},
    manifest::{Manifest, Part},
    org::Genesis,
    person::IssueToken,
    proposal::Governed,
    refusal::Refusal,
    release::{DetectCandidate, IdentifyRelease},
    review::{Sign, outlook},
    seal::{Sealed, SealedValue},
    words::{Enforcement, PartKind, RuleResult, Score, Severity, Verdict},
    world::Decided,
};

use crate::{journal, ledger::Ledger};

mod setup;

use setup::people;
pub(crate) use setup::{binding, gate, rules, triage, ward};

pub(crate) const START: &str = "2026-03-02T09:00:00Z";

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn names<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(
    texts: &[&str],
) -> BTreeSet<T> {
    texts.iter().map(|text| name(text)).collect()
}

pub(crate) fn sealed(text: &str) -> Sealed {
    SealedValue::new([7; 32], text.to_owned()).commitment
}

pub(crate) fn caller(who: &str) -> Caller {
    let actor = match who {
        "genesis" => Actor::Genesis,
        "clock" => Actor::Clock,
        "robot" => Actor::Service(name(who)),
        "scanner" => Actor::Agent(OwnAgent::ReleaseScanner),
        "checker" => Actor::Agent(OwnAgent::ComplianceChecker),
        "orchestrator" => Actor::Agent(OwnAgent::ApprovalOrchestrator),
        "monitor" => Actor::Agent(OwnAgent::ReleaseMonitor),
        person => Actor::Person(name(person)),
    };
    let token = matches!(actor, Actor::Service(_)).then(|| name("t-robot"));
    Caller {
        token,
        ..Caller::new(actor)
    }
}

/// A token for the robot, which is called so and lasts a day.
pub(crate) fn token(id: &str, rights: &[Right], now: Timestamp) -> Governed {
    Governed::IssueToken(IssueToken {
        person: name("robot"),
        token: name(id),
        hash: sealed("the first half"),
        rights: rights.iter().copied().collect(),
        purpose: sealed("checks"),
        expires: now + SignedDuration::from_hours(24),
    })
}

/// What a second person says to a proposal, with a half of a secret should it need one.
pub(crate) fn confirm(change: &Governed) -> Command {
    Command::ConfirmProposal {
        proposal: change.proposal().unwrap(),
        half: Some(sealed("the second half")),
    }
}

/// A release of two files and, now and then, a data set.
pub(crate) fn manifest(weights: &str, prompt: &str, data: &str) -> Manifest {
    let files = [
        (PartKind::Backbone, "model.safetensors", weights),
        (PartKind::Prompt, "prompt.txt", prompt),
        (PartKind::Data, "reference.csv", data),
    ];
    let parts = files.into_iter().map(|(kind, path, content)| Part {
        kind,
        path: path.to_owned(),
        size: content.len() as u64,
        sha256: Digest::of(content.as_bytes()),
        content_sha256: None,
        weights: kind == PartKind::Backbone,
    });
    Manifest::new(parts.collect()).unwrap()
}

pub(crate) fn release(version: &str) -> ReleaseId {
    name(&format!("triage/{version}"))
}

pub(crate) fn review(version: &str, environment: &str, round: u32) -> ReviewId {
    name(&format!("triage/{version}/{environment}/{round}"))
}

pub(crate) fn bundle() -> BundleRef {
    BundleRef {
        name: name("starter"),
        version: "1".to_owned(),
        digest: Digest::of(b"starter 1"),
    }
}

/// A rule that did not pass.
pub(crate) fn gap(rule: &str, enforcement: Enforcement, severity: Severity) -> ReportedResult {
    ReportedResult {
        rule: rule.to_owned(),
        rule_digest: Digest::of(rule.as_bytes()),
        enforcement,
        severity,
        result: RuleResult::Fail,
        routes_to: None,
    }
}

#[derive(Clone)]
pub(crate) struct Acme {
    pub(crate) ledger: Ledger,
    pub(crate) now: Timestamp,
    pub(crate) log: String,
}

impl Acme {
    /// An organisation with two founders; a sandbox has `ada` alone.
    pub(crate) fn founded(sandbox: bool) -> Self {
        let now = START.parse().unwrap();
        let mut acme = Self {
            ledger: Ledger::default(),
            now,
            log: String::new(),
        };
        let founders: Vec<PersonId> = if sandbox {
            vec![name("ada")]
        } else {
            vec![name("ada"), name("ben")]
        };
        let genesis = Genesis {
            founders,
            origin: "lumos.acme.example/prod".to_owned(),
            sandbox,
            seeds: Vec::new(),
            settings: Digest::of(b"settings"),
        };
        let mut seed = vec![Command::Found(genesis)];
        seed.extend(people());
        seed.extend([
            Governed::DefineGate(gate("staging", None)).into(),
            Governed::DefineGate(gate("production", None)).into(),
            Governed::SetReviewRules(rules()).into(),
            Governed::PublishBundle(bundle()).into(),
            Governed::DefineSystem(ward()).into(),
            Governed::RegisterModel(triage()).into(),
        ]);
        let founded = acme.ledger.submit(&caller("genesis"), &seed, now);
        founded.unwrap_or_else(|refusal| panic!("founding: {refusal}"));
        acme
    }

    pub(crate) fn new() -> Self {
        Self::founded(false)
    }

    pub(crate) fn wait(&mut self, hours: i64) {
        self.now += SignedDuration::from_hours(hours);
        self.log.push_str(&format!("- {hours} hours later\n"));
    }

    /// One command of `who`, told in the log as `what`.
    pub(crate) fn act(&mut self, who: &str, what: &str, command: Command) -> bool {
        self.act_as(&caller(who), &format!("{who} {what}"), command)
            .is_ok()
    }

    pub(crate) fn act_as(
        &mut self,
        caller: &Caller,
        what: &str,
        command: Command,
    ) -> Result<Decided, Refusal> {
        let answer = self.ledger.submit(caller, &[command], self.now);
        self.log.push_str(&format!("{what}\n"));
        let lines = match &answer {
            Ok(decided) if decided.is_empty() => vec!["nothing to do".to_owned()],
            Ok(decided) => journal::lines(decided),
            Err(refusal) => vec![format!("no, {}: {}", refusal.code(), refusal)],
        };
        for line in lines {
            self.log.push_str(&format!("  {}\n", short(&line)));
        }
        answer
    }

    /// A change that `who` proposes and `sara` confirms.
    pub(crate) fn govern(&mut self, who: &str, what: &str, change: Governed) {
        let confirm = confirm(&change);
        if self.act(who, what, change.into()) {
            self.act("sara", "confirms", confirm);
        }
    }

    /// Steps that a story takes for granted.
    pub(crate) fn quietly(&mut self, steps: impl FnOnce(&mut Self)) {
        let before = self.log.clone();
        steps(self);
        self.log = before;
    }

    /// `who` submits a version for production and the scanner identifies it.
    pub(crate) fn submit(&mut self, who: &str, version: &str, content: Manifest) {
        self.submit_as(who, version, content, |_| {});
    }

    pub(crate) fn submit_as(
        &mut self,
        who: &str,
        version: &str,
        content: Manifest,
        change: impl FnOnce(&mut CandidateDetected),
    ) {
        let mut facts = CandidateDetected {
            source: Source {
                registry: name("upload"),
                name: "triage".to_owned(),
                version: version.to_owned(),
            },
            environment: name("production"),
            agents: BTreeSet::new(),
            submitter: None,
            claims: Vec::new(),
            declared: None,
            test: false,
        };
        change(&mut facts);
        let detect = DetectCandidate {
            release: release(version),
            facts,
        };
        if self.act(
            who,
            &format!("submits {version}"),
            Command::DetectCandidate(detect),
        ) {
            self.identify(version, content);
        }
    }

    pub(crate) fn identify(&mut self, version: &str, content: Manifest) {
        let digest = self.ledger.keep(content);
        let scan = EvidenceRecorded {
            kind: "artifact_scan".to_owned(),
            producer: "lumos".to_owned(),
            digest: Digest::of(digest.as_bytes()),
            sandbox: false,
        };
        let identify = IdentifyRelease {
            release: release(version),
            digest,
            evidence: vec![scan],
        };
        self.act(
            "scanner",
            &format!("identifies {version}"),
            Command::IdentifyRelease(identify),
        );
    }

    /// The report the compliance checker would make now; `None` when nothing can be judged yet.
    pub(crate) fn facts(&self, version: &str, environment: &str) -> Option<ReportFacts> {
        let (id, environment): (_, Environment) = (release(version), name(environment));
        let seen = self
            .ledger
            .answer(|world| outlook(world, &id, &environment, self.now))
            .ok()?;
        Some(ReportFacts {
            report: Digest::of(format!("{version} {environment} {}", self.now).as_bytes()),
            environment,
            bundles: [bundle()].into(),
            evidence: Vec::new(),
            as_of: self.now,
            subject_version: seen.subject_version,
            depth: seen.depth,
            score: Some(Score::from_basis_points(9_000)),
            below_threshold: false,
            results: Vec::new(),
            omitted: 0,
            sandbox: seen.sandbox,
        })
    }

    /// The checker reports on a version for production and the orchestrator opens its review.
    pub(crate) fn report(&mut self, version: &str, change: impl FnOnce(&mut ReportFacts)) {
        self.report_for(version, "production", change);
    }

    pub(crate) fn report_for(
        &mut self,
        version: &str,
        environment: &str,
        change: impl FnOnce(&mut ReportFacts),
    ) {
        let mut facts = self.facts(version, environment).unwrap();
        change(&mut facts);
        let record = Command::RecordReport {
            release: release(version),
            report: facts,
        };
        self.act("checker", &format!("reports on {version}"), record);
        self.open(version, environment);
    }

    pub(crate) fn open(&mut self, version: &str, environment: &str) {
        let open = Command::OpenReview {
            release: release(version),
            environment: name(environment),
        };
        self.act(
            "orchestrator",
            &format!("opens {version} for {environment}"),
            open,
        );
    }

    /// The latest review of a version, with the hash of its record.
    pub(crate) fn latest(&self, version: &str, environment: &str) -> Option<(ReviewId, Digest)> {
        let (id, environment): (_, Environment) = (release(version), name(environment));
        let latest = self.ledger.answer(|world| {
            let Some(review) = world.release(&id)?.reviews.get(&environment) else {
                return Ok(None);
            };
            let hash = world.review(review)?.record_hash;
            Ok(hash.map(|hash| (review.clone(), hash)))
        });
        latest.unwrap()
    }

    pub(crate) fn sign(&mut self, who: &str, version: &str, verdict: Verdict) {
        let (_, record) = self.latest(version, "production").unwrap();
        self.sign_record(who, version, verdict, record, false);
    }

    /// Signs with the password given in the same request.
    pub(crate) fn sign_again(&mut self, who: &str, version: &str, verdict: Verdict) {
        let (_, record) = self.latest(version, "production").unwrap();
        self.sign_record(who, version, verdict, record, true);
    }

    pub(crate) fn sign_record(
        &mut self,
        who: &str,
        version: &str,
        verdict: Verdict,
        record: Digest,
        reauthenticated: bool,
    ) {
        let (review, _) = self.latest(version, "production").unwrap();
        let sign = Sign {
            review,
            verdict,
            slot: None,
            reason: sealed("because"),
            record,
        };
        let caller = Caller {
            reauthenticated,
            ..caller(who)
        };
        let what = format!("{who} signs {version}: {verdict}");
        drop(self.act_as(&caller, &what, Command::Sign(sign)));
    }

    pub(crate) fn assign(&mut self, version: &str, agent: &str) {
        let approval = self.latest(version, "production").unwrap().0;
        let assignment: AssignmentId = name(&format!("{agent}/production"));
        let assign = Command::Assign {
            assignment,
            approval,
        };
        self.act(
            "orchestrator",
            &format!("assigns {version} to {agent}"),
            assign,
        );
    }

    /// Version 1 runs in production, approved by two people and submitted by `dora`.
    pub(crate) fn running() -> Self {
        let mut acme = Self::new();
        acme.quietly(|acme| {
            acme.submit("dora", "1", manifest("w1", "p1", "d1"));
            acme.report("1", |_| {});
            acme.sign("ben", "1", Verdict::Approve);
            acme.sign("cleo", "1", Verdict::Approve);
        });
        let (review, _) = acme.latest("1", "production").unwrap();
        let live = acme
            .ledger
            .answer(|world| Ok(world.review(&review)?.live(acme.now).is_ok()));
        assert!(live.unwrap(), "version 1 is approved");
        acme
    }
}

/// A line with its digests cut.
fn short(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some(at) = rest.find("sha256:") {
        text.push_str(&rest[..at]);
        text.push_str("sha256:…");
        rest = &rest[at + "sha256:".len() + 64..];
    }
    text + rest
}

pub(crate) fn claim(identity: &str) -> Claim {
    Claim {
        number: 1,
        identity: sealed(identity),
    }
}

pub(crate) fn agents(texts: &[&str]) -> BTreeSet<AgentRef> {
    names(texts)
}
