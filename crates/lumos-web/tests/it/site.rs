//! A small organisation on a real store, and a browser that keeps its cookie.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use jiff::SignedDuration;
use lumos_domain::{
    actor::{Actor, Caller, Grant, OwnAgent, Right, Scope},
    command::Command,
    event::{CandidateDetected, EvidenceRecorded, ModelRegistered, SystemDefined},
    facts::{BundleRef, Claim, ReportFacts, Source},
    id::{Digest, Environment, PersonId, ReleaseId},
    manifest::Manifest,
    model::RegisterModel,
    org::Genesis,
    person::AddPerson,
    proposal::Governed,
    release::{DetectCandidate, IdentifyRelease},
    system::DefineSystem,
    words::ModelTier,
};
use lumos_enforce::dsse::StatementSigner;
use lumos_engine::{
    Door, Request as Asked, key::ServerKey, notary::Published, ports::Ports, runtime,
    secret::Sealer, views,
};
use lumos_ledger::{Checkpoint, NoteSigner};
use lumos_store::{DirBlobs, SqliteStore};
use lumos_web::{
    app::{App, Inner},
    auth::{Gatekeeper, hash_password},
    decisions::Decisions,
    routes,
    staging::{Limits, Staging},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

mod inputs;
mod ring;

use inputs::{Counted, SetClock};

pub(crate) const ORIGIN: &str = "ledger.acme.example";
pub(crate) const FIRST_PASSWORD: &str = "the first password";
pub(crate) const HOSTILE: &str = "Mallory <script>alert(1)</script>";

const LIMITS: Limits = Limits {
    bytes_max: 60_000,
    // Two uploads of three folders each, and 20,000 bytes in them.
    bytes_max_per_caller: 2 * 3 * 4_096 + 20_000,
    kept: SignedDuration::from_hours(48),
    open: true,
};

/// The site, with one release under review.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) door: Door,
    pub(crate) app: App,
    pub(crate) clock: Arc<SetClock>,
    publish: watch::Sender<Published>,
    signer: NoteSigner,
    cookie: String,
    _dir: TempDir,
}

fn person(person: &PersonId, name: &str, login: &str, sealer: &mut Sealer<'_>) -> Command {
    Command::AddPerson(AddPerson {
        person: person.clone(),
        name: sealer.seal(name),
        login: sealer.seal(login),
        service: false,
    })
}

fn ward(owner: &PersonId) -> Command {
    Governed::DefineSystem(DefineSystem {
        system: "ward".parse().unwrap(),
        facts: SystemDefined {
            owner: owner.clone(),
            agents: ["intake".parse().unwrap()].into(),
            outage: Vec::new(),
        },
    })
    .into()
}

fn reviewer(person: &PersonId) -> Command {
    Governed::GrantRole {
        person: person.clone(),
        grant: Grant {
            role: "reviewer".parse().unwrap(),
            scope: Scope::Organisation,
        },
    }
    .into()
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) html: String,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let schema = [
            views::schema(),
            runtime::SCHEMA.to_vec(),
            lumos_web::schema(),
        ]
        .concat();
        let begins = "2026-03-01T09:00:00Z".parse().unwrap();
        let clock = Arc::new(SetClock(Mutex::new((begins, SignedDuration::ZERO))));
        let ports = Ports {
            store: Arc::new(SqliteStore::open(&dir.path().join("db"), &schema).unwrap()),
            blobs: Arc::new(DirBlobs::open(&dir.path().join("blobs")).unwrap()),
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(Counted(AtomicU64::new(0))),
            key: Arc::new(ServerKey::new([9; 32])),
        };
        let door = Door::open(ports, ORIGIN).await.unwrap();
        let signer = NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap();
        let none = Published {
            size: 0,
            note: Arc::from(&b""[..]),
        };
        let (publish, published) = watch::channel(none);
        let statements = StatementSigner::from_bytes(&[7; 32]).unwrap_or_else(|e| panic!("{e}"));
        let app = App(Arc::new(Inner {
            decisions: Decisions::new(door.clone(), ORIGIN, statements),
            door: door.clone(),
            published,
            keys: ring::of(&door, &signer).await,
            trouble: watch::channel(None).1,
            gatekeeper: Gatekeeper::new([1; 16]).unwrap(),
            registries: BTreeMap::new(),
            cosigned: None,
            stamps: None,
            readings: lumos_web::readings::Readings::default(),
            packs: lumos_web::pack::turns::Turns::default(),
            proofs: lumos_engine::proofs::Hashes::default(),
            hints: mpsc::channel(1).0,
            uploads: Staging::open(dir.path().join("uploads"), LIMITS).unwrap(),
            decisions_kept: SignedDuration::from_hours(24 * 30),
            origin: ORIGIN.to_owned(),
            proxies: Vec::new(),
            streams: lumos_web::streams::Streams::default(),
            stop: watch::channel(false).1,
        }));
        let site = Self {
            router: routes::router(app.clone()),
            app,
            clock,
            door,
            publish,
            signer,
            cookie: String::new(),
            _dir: dir,
        };
        site.found().await;
        site.review().await;
        site
    }

    async fn submit(&self, caller: Caller, id: &str, commands: Vec<Command>, sealer: Sealer<'_>) {
        let request = Asked {
            caller,
            command_id: id.parse().unwrap(),
            commands,
            sealed: sealer.into_values(),
            causation: None,
        };
        self.door
            .submit(request)
            .await
            .unwrap_or_else(|e| panic!("{id}: {e}"));
    }

    async fn bundle(&self) -> BundleRef {
        let yaml = include_bytes!("../../../../examples/acme/policy/starter.yaml");
        let bundle = lumos_policy::Bundle::parse(yaml).unwrap();
        let digest = self.door.ports().blobs.put(yaml.to_vec()).await.unwrap();
        BundleRef {
            name: bundle.name().clone(),
            version: bundle.version().to_owned(),
            digest,
        }
    }

    /// A sandbox with its founder and a reviewer, a gate, and a model held against the starter bundle.
    async fn found(&self) {
        let entropy = Arc::clone(&self.door.ports().entropy);
        let mut sealer = Sealer::new(&*entropy);
        let mut rights: Vec<Right> = Right::ALL.to_vec();
        rights.retain(|right| right.for_tokens());
        let depth =
            json!({"slots": [{"role": "reviewer", "grade": "part11"}], "approval_days": 30});
        let bundle = self.bundle().await;
        let ada: PersonId = "p-ada".parse().unwrap();
        let grace: PersonId = "p-grace".parse().unwrap();
        let commands = vec![
            Command::Found(Genesis {
                founders: vec![ada.clone()],
                origin: ORIGIN.to_owned(),
                sandbox: true,
                seeds: Vec::new(),
                settings: Digest::of(b"settings"),
            }),
            Governed::DefineRole {
                role: "reviewer".parse().unwrap(),
                rights: rights.into_iter().collect(),
            }.into(),
            Governed::DefineGate(
                serde_json::from_value(json!({"environment": "production", "report_max_age_days": 30})).unwrap(),
            ).into(),
            Governed::DefineGate(
                serde_json::from_value(json!({"environment": "staging", "report_max_age_days": 30})).unwrap(),
            ).into(),
            Governed::SetReviewRules(
                serde_json::from_value(json!({
                    "matrix": {}, "wide_over_agents": 3, "senior_role": "reviewer",
                    "escalate_critical_after_hours": 24,
                    "depths": {"auto": {"approval_days": 1}, "light": depth, "full": depth, "panel": depth},
                }))
                .unwrap(),
            ).into(),
            person(&ada, "Ada <b>Byron</b>", "ada", &mut sealer),
            reviewer(&ada),
            person(&grace, "Grace", "grace", &mut sealer),
            reviewer(&grace),
            ward(&ada),
            Governed::PublishBundle(bundle.clone()).into(),
            Governed::RegisterModel(RegisterModel {
                model: "triage".parse().unwrap(),
                facts: ModelRegistered {
                    owner: ada.clone(),
                    data_owner: None,
                    purpose: sealer.seal("Sorts incoming letters."),
                    unit: None,
                    frameworks: std::collections::BTreeSet::new(),
                    policies: [bundle.name].into(),
                },
                tier: ModelTier::High,
                rationale: sealer.seal("people depend on it"),
            }).into(),
        ];
        self.submit(Caller::new(Actor::Genesis), "found", commands, sealer)
            .await;
        // Somebody else sets Grace's first password, so she must change it.
        let mut sealer = Sealer::new(&*entropy);
        let hash = sealer.seal(&hash_password(FIRST_PASSWORD, [3; 16]).unwrap());
        let set = Governed::SetCredential {
            person: grace,
            hash,
        }
        .into();
        let caller = Caller::new(Actor::Person(ada));
        self.submit(caller, "password", vec![set], sealer).await;
    }

    /// Does something as Ada, past the pages.
    pub(crate) async fn as_ada(&self, id: &str, command: impl FnOnce(&mut Sealer<'_>) -> Command) {
        let entropy = Arc::clone(&self.door.ports().entropy);
        let mut sealer = Sealer::new(&*entropy);
        let command = command(&mut sealer);
        let ada = Caller::new(Actor::Person("p-ada".parse().unwrap()));
        self.submit(ada, id, vec![command], sealer).await;
    }

    /// A release, scanned, checked without a blocking gap, and under review.
    async fn review(&self) {
        let ports = self.door.ports();
        let entropy = Arc::clone(&ports.entropy);
        let mut sealer = Sealer::new(&*entropy);
        let release: ReleaseId = "triage/1.2".parse().unwrap();
        let environment: Environment = "production".parse().unwrap();
        let detect = Command::DetectCandidate(DetectCandidate {
            release: release.clone(),
            facts: CandidateDetected {
                source: Source {
                    registry: "upload".parse().unwrap(),
                    name: HOSTILE.to_owned(),
                    version: "1.2".to_owned(),
                },
                environment: environment.clone(),
                agents: std::collections::BTreeSet::new(),
                submitter: None,
                claims: vec![Claim {
                    number: 1,
                    identity: sealer.seal(HOSTILE),
                }],
                declared: None,
                test: false,
            },
        });
        let scanner = Caller::agent(OwnAgent::ReleaseScanner);
        self.submit(scanner.clone(), "detect", vec![detect], sealer)
            .await;

        let part = json!({"kind": "backbone", "path": "model.safetensors", "size": 4, "sha256": Digest::of(b"w")});
        let manifest: Manifest =
            serde_json::from_value(json!({"schema": "lumos.manifest/v1", "parts": [part]}))
                .unwrap();
        let digest = ports
            .blobs
            .put(manifest.to_canonical().unwrap())
            .await
            .unwrap();
        let finding =
            json!({"severity": "low", "code": "odd-name", "path": HOSTILE, "detail": HOSTILE});
        let claim = serde_json::to_vec(&json!({"tool": "lumos", "findings": [finding]})).unwrap();
        let evidence = EvidenceRecorded {
            kind: "artifact_scan".into(),
            producer: "release-scanner".into(),
            digest: ports.blobs.put(claim).await.unwrap(),
            sandbox: false,
        };
        let identify = Command::IdentifyRelease(IdentifyRelease {
            release: release.clone(),
            digest,
            evidence: vec![evidence],
        });
        self.submit(scanner, "identify", vec![identify], Sealer::new(&*entropy))
            .await;

        self.report(release, environment).await;
    }

    /// A report without a gap, and the review that follows.
    async fn report(&self, release: ReleaseId, environment: Environment) {
        let ports = self.door.ports();
        let entropy = Arc::clone(&ports.entropy);
        let whole = json!({"schema": "lumos.assessment/v1", "candidate": {}, "reports": []});
        let sandbox = self.door.ask(|world| Ok(world.org()?.sandbox));
        let report: ReportFacts = serde_json::from_value(json!({
            "report": ports.blobs.put(serde_json::to_vec(&whole).unwrap()).await.unwrap(),
            "environment": environment, "bundles": [self.bundle().await], "evidence": [],
            "as_of": ports.clock.now(), "subject_version": 1, "depth": "panel", "score": 9750,
            "below_threshold": false, "results": [], "omitted": 0, "sandbox": sandbox.await.unwrap(),
        }))
        .unwrap();
        let record = Command::RecordReport {
            release: release.clone(),
            report,
        };
        let checker = Caller::agent(OwnAgent::ComplianceChecker);
        self.submit(checker, "report", vec![record], Sealer::new(&*entropy))
            .await;
        let open = Command::OpenReview {
            release,
            environment,
        };
        let orchestrator = Caller::agent(OwnAgent::ApprovalOrchestrator);
        self.submit(orchestrator, "open", vec![open], Sealer::new(&*entropy))
            .await;
    }

    /// Publishes a checkpoint of everything so far.
    pub(crate) async fn checkpoint(&self) {
        let frontier = self.door.ports().store.frontier().await.unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, frontier.size(), frontier.root()).unwrap();
        let note = checkpoint.sign(&self.signer).unwrap().to_string();
        let _before = self.publish.send_replace(Published {
            size: frontier.size(),
            note: Arc::from(note.into_bytes()),
        });
    }

    pub(crate) async fn get(&mut self, place: &str) -> Answer {
        let request = Request::get(place).header(header::COOKIE, &self.cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, place: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let request = Request::post(place)
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body.join("&"))).unwrap())
            .await
    }

    /// Sends this cookie from now on.
    pub(crate) fn cookie(&mut self, cookie: &str) {
        cookie.clone_into(&mut self.cookie);
    }

    /// Asks the API with a credential and JSON.
    pub(crate) async fn ask(
        &mut self,
        asked: axum::http::request::Builder,
        body: &serde_json::Value,
    ) -> Answer {
        let asked = asked.header(header::CONTENT_TYPE, "application/json");
        self.send(asked.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Sends bytes to the API.
    pub(crate) async fn send_bytes(
        &mut self,
        asked: axum::http::request::Builder,
        body: impl Into<Body>,
    ) -> Answer {
        self.send(asked.body(body.into()).unwrap()).await
    }

    async fn send(&mut self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let header = |name| {
            parts
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        if let Some(cookie) = header(header::SET_COOKIE) {
            self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        }
        let bytes = to_bytes(body, 16 << 20).await.unwrap();
        Answer {
            status: parts.status,
            location: header(header::LOCATION).unwrap_or_default(),
            html: String::from_utf8_lossy(&bytes).into_owned(),
            headers: parts.headers,
        }
    }
}

fn encoded(text: &str) -> String {
    let byte = |b: u8| {
        if b.is_ascii_alphanumeric() {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

/// The value of the first hidden field `name` after `place` in a page.
pub(crate) fn hidden(html: &str, place: &str, name: &str) -> String {
    let from = html
        .find(place)
        .unwrap_or_else(|| panic!("no {place} in {html}"));
    let mark = format!("name=\"{name}\" value=\"");
    let at = html[from..]
        .find(&mark)
        .unwrap_or_else(|| panic!("no {name} after {place}"));
    html[from + at + mark.len()..]
        .split('"')
        .next()
        .unwrap_or_default()
        .to_owned()
}
