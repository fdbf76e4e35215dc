//! What an evidence pack of a period costs: a ledger of so many releases, each detected, claimed, signed by two, approved
//! and assigned, and the pack of all of them with 25 drawn. Prints the time of its parts, files, bytes and memory. The
//! first argument is the number of releases.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    event::{
        AuthorClaimed, CandidateDetected, Event, PersonAdded, ReleaseApproved, ReleaseIdentified,
        ReleasesAssigned, Signed,
    },
    facts::{ApprovalTuple, Assigned, Claim, Source as From},
    id::{Digest, PersonId, ReleaseId},
    seal::SealedValue,
    stream::Stream,
    words::{Grade, Verdict},
};
use lumos_engine::{
    pack::{Asked, File, Head, Source, make},
    ports::{Append, NewEntry, Store as _},
    proofs::Hashes,
};
use lumos_ledger::{Checkpoint, Envelope, NoteSigner, entry};
use lumos_store::{DirBlobs, SqliteStore};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ORIGIN: &str = "ledger.acme.example";
/// Entries of one append.
const BATCH: usize = 512;

fn main() -> Result<(), Failure> {
    let releases = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure(releases))
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "measuring time and saying it is all it does"
)]
async fn measure(releases: u64) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(dir.path(), &lumos_engine::schema())?);
    let mut ledger = Ledger::new(Arc::clone(&store));
    ledger.fill(releases).await?;
    let size = ledger.next;
    let signer = NoteSigner::from_seed(ORIGIN, &[7; 32])?;
    let frontier = store.frontier().await?;
    let note = Checkpoint::new(ORIGIN, frontier.size(), frontier.root())?.sign(&signer)?;
    let vkeys = vec![signer.verifier_key().clone()];
    let head = Head::open(note.to_string().as_bytes(), &vkeys)?;
    let asked = Asked::Period {
        from: Timestamp::UNIX_EPOCH,
        to: Timestamp::MAX,
        environment: None,
        sample: 25,
        seed: head.checkpoint.root().to_base64(),
    };
    let before = memory();
    let began = Instant::now();
    let (into, mut files) = mpsc::channel::<File>(64);
    let counting = async {
        let (mut count, mut bytes, mut first) = (0_u64, 0_u64, Duration::ZERO);
        while let Some(file) = files.recv().await {
            if count == 0 {
                first = began.elapsed();
            }
            count += 1;
            bytes += file.bytes.len() as u64;
        }
        (count, bytes, first)
    };
    let source = Source {
        store: &*store,
        blobs: &DirBlobs::open(dir.path())?,
        proofs: &Hashes::default(),
        asks: &[],
    };
    let making = make(source, &head, &asked, lumos_web::pack::page, into);
    let (made, (count, bytes, first)) = tokio::join!(making, counting);
    made?;
    println!(
        "{releases} releases, {size} entries: first file after {:.1} s, whole after {:.1} s; {count} files, {} MiB; \
         memory {} MiB before, {} MiB at most",
        first.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        bytes >> 20,
        before >> 10,
        memory() >> 10,
    );
    Ok(())
}

/// The most memory this process had so far, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// A ledger that is written without the rules: only its size matters here.
struct Ledger {
    store: Arc<SqliteStore>,
    versions: BTreeMap<Stream, u64>,
    waiting: Vec<NewEntry>,
    sealed: Vec<SealedValue>,
    next: u64,
}

impl Ledger {
    fn new(store: Arc<SqliteStore>) -> Self {
        Self {
            store,
            versions: BTreeMap::new(),
            waiting: Vec::new(),
            sealed: Vec::new(),
            next: 0,
        }
    }

    async fn fill(&mut self, releases: u64) -> Result<(), Failure> {
        for person in ["p-ada", "p-ben", "p-cleo"] {
            let added = PersonAdded {
                name: self.seal(&format!("Acme's {person}")),
                login: self.seal(person),
                service: false,
            };
            self.say(&format!("person/{person}"), "genesis", added)
                .await?;
        }
        for n in 0..releases {
            self.release(n).await?;
        }
        self.flush().await
    }

    async fn release(&mut self, n: u64) -> Result<(), Failure> {
        let id: ReleaseId = format!("triage/{n}").parse()?;
        let (release, review) = (format!("release/{id}"), format!("{id}/production/1"));
        let (scanner, orchestrator) = ("agent/release-scanner", "agent/approval-orchestrator");
        let digest = Digest::of(id.to_string().as_bytes());
        let ada: PersonId = "p-ada".parse()?;
        let detected = CandidateDetected {
            source: From {
                registry: "models".parse()?,
                name: "triage".into(),
                version: n.to_string(),
            },
            environment: "production".parse()?,
            agents: ["ward/intake".parse()?].into(),
            submitter: Some(ada.clone()),
            claims: vec![Claim {
                number: 1,
                identity: self.seal("ada@acme.example"),
            }],
            declared: None,
            test: false,
        };
        self.say(&release, scanner, detected).await?;
        self.say(&release, scanner, ReleaseIdentified { digest })
            .await?;
        let claimed = AuthorClaimed {
            claim: 1,
            person: ada,
        };
        self.say(&release, "person/p-ada", claimed).await?;
        self.signed(n, &format!("review/{review}")).await?;
        let tuple = ApprovalTuple {
            release: id.clone(),
            digest,
            bundles: [].into(),
            report: Digest::of(b"report"),
            environment: "production".parse()?,
            agents: ["ward/intake".parse()?].into(),
            expires: Timestamp::MAX,
            sandbox: false,
        };
        let approved = ReleaseApproved { tuple, auto: None };
        self.say(&format!("review/{review}"), orchestrator, approved)
            .await?;
        let releases = vec![Assigned {
            release: id,
            digest,
            approval: review.parse()?,
            share: 100,
            until: None,
        }];
        let assigned = ReleasesAssigned { releases };
        self.say("assignment/ward/intake/production", orchestrator, assigned)
            .await
    }

    async fn signed(&mut self, n: u64, review: &str) -> Result<(), Failure> {
        for signer in ["p-ben", "p-cleo"] {
            let signed = Signed {
                person: signer.parse()?,
                slot: Some("compliance".parse()?),
                verdict: Verdict::Approve,
                reason: self.seal(&format!("read version {n}, all of it")),
                meaning: "approval".into(),
                grade: Grade::Part11,
                record: Digest::of(b"record"),
            };
            self.say(review, &format!("person/{signer}"), signed)
                .await?;
        }
        Ok(())
    }

    fn seal(&mut self, text: &str) -> lumos_domain::seal::Sealed {
        let salt = *Digest::of(format!("{} {text}", self.next).as_bytes()).as_bytes();
        let value = SealedValue::new(salt, text.to_owned());
        let sealed = value.commitment;
        self.sealed.push(value);
        sealed
    }

    async fn say(
        &mut self,
        stream: &str,
        actor: &str,
        event: impl Into<Event>,
    ) -> Result<(), Failure> {
        let (stream, event): (Stream, Event) = (stream.parse()?, event.into());
        let version = self.versions.entry(stream.clone()).or_default();
        *version += 1;
        let hours = SignedDuration::from_mins(i64::try_from(self.next)?);
        let envelope = Envelope {
            specversion: entry::SPEC_VERSION.into(),
            id: format!("c-{}.0", self.next).into(),
            source: ORIGIN.into(),
            kind: event.kind().into(),
            time: (Timestamp::UNIX_EPOCH + hours).to_string().into(),
            subject: stream.to_string().into(),
            streamversion: *version,
            commandid: format!("c-{}", self.next).into(),
            actor: actor.into(),
            causation: None,
            correlation: None,
            sandbox: false,
            datacontenttype: "application/json".into(),
            data: RawValue::from_string(event.to_json()?)?,
        };
        self.waiting.push(NewEntry {
            version: *version,
            kind: event.kind(),
            bytes: envelope.to_bytes()?,
            projections: Vec::new(),
            stream,
        });
        self.next += 1;
        if self.waiting.len() >= BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let append = Append {
            command_id: format!("batch-{}", self.next).parse()?,
            reads: Vec::new(),
            entries: std::mem::take(&mut self.waiting),
            sealed: std::mem::take(&mut self.sealed),
            erase: Vec::new(),
            lease: None,
        };
        self.store.append(append).await?;
        Ok(())
    }
}
