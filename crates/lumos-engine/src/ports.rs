//! All that LUMOS needs from the world, in one file. The engine and the agents know only these traits;
//! the edges implement them and the binary wires them (DECISIONS 19).

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::{
    id::{CommandId, Digest, RegistryName},
    manifest::Manifest,
    seal::{Sealed, SealedValue},
    stream::Stream,
};
use lumos_ledger::{Frontier, Hash};
use tokio::sync::watch;

use crate::key::ServerKey;

/// The clock. Everything that is recorded carries a time from here.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Randomness: ids, salts, secrets.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with random bytes fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}

/// Something outside failed: the database, the disk, the anchor.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct PortError {
    /// What we were doing, in lower case.
    pub doing: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl PortError {
    /// An error while `doing` something, because of `source`.
    pub fn new(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            source: source.into(),
        }
    }
}

/// A parameter or column of SQL that both databases know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL null.
    Null,
    /// A 64-bit integer; times are microseconds since 1970.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// In statements that go with an entry: the index the entry gets in the ledger.
    Index,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.as_microsecond())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One SQL statement with its parameters in order, `$1` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, the same for both databases.
    pub sql: &'static str,
    /// Its parameters.
    pub params: Vec<Value>,
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The text in column `at`; empty when it is null or of another type.
    #[must_use]
    pub fn text(&self, at: usize) -> &str {
        match self.0.get(at) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// The number in column `at`; `None` when it is null or of another type.
    #[must_use]
    pub fn int(&self, at: usize) -> Option<i64> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// The time in column `at`.
    #[must_use]
    pub fn time(&self, at: usize) -> Option<Timestamp> {
        self.int(at)
            .and_then(|micros| Timestamp::from_microsecond(micros).ok())
    }

    /// The bytes in column `at`; empty when null or of another type.
    #[must_use]
    pub fn bytes(&self, at: usize) -> &[u8] {
        match self.0.get(at) {
            Some(Value::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }
}

/// An entry to append.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The stream it continues.
    pub stream: Stream,
    /// Its place in the stream, from 1.
    pub version: u64,
    /// Its CloudEvents type.
    pub kind: &'static str,
    /// The bytes that are stored, hashed and never re-serialised.
    pub bytes: Vec<u8>,
    /// What decision projections make of it, applied in the same transaction.
    pub projections: Vec<Statement>,
}

/// Entries to append together, or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    /// Unique: a second append under the same id is answered with the first one's outcome.
    pub command_id: CommandId,
    /// Every stream the decision looked at, with the version it saw; checked under the head lock.
    pub reads: Vec<(Stream, u64)>,
    /// The entries, in order.
    pub entries: Vec<NewEntry>,
    /// The sealed values that the entries commit to.
    pub sealed: Vec<SealedValue>,
    /// Sealed fields of earlier entries whose salts and values go in the same transaction, never to come back. Their
    /// bytes leave every file of the store; what is not there any more is passed over.
    pub erase: Vec<Sealed>,
    /// What must change exactly one row in the same transaction, or nothing is appended: the caller still holds its
    /// lease. Who lost it can no longer write, however late it finds out.
    pub lease: Option<Statement>,
}

/// Where an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Ledger index of its first entry.
    pub first: u64,
    /// How many entries it has.
    pub count: u64,
    /// Whether it had been appended before under the same command id.
    pub repeated: bool,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream moved on since the decision looked at it: decide again.
    #[error("appending: stream `{stream}` is at version {now}, the decision saw {seen}")]
    Conflict {
        /// The stream.
        stream: Stream,
        /// The version that was looked at.
        seen: u64,
        /// The version it has.
        now: u64,
    },
    /// A projection refused, such as a login that is taken.
    #[error("appending: a unique value is taken already")]
    Taken,
    /// Somebody else took over what the caller was doing.
    #[error("appending: the lease was lost")]
    LeaseLost,
    /// Another version changed the tables, or made them anew, since this process opened them: what it would write
    /// beside its entries is not what that version reads.
    #[error("appending: another version of LUMOS changed the tables of this ledger")]
    OtherVersion,
    /// The store failed; whether it happened is unknown until asked for by command id.
    #[error(transparent)]
    Store(#[from] PortError),
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its index in the ledger, from 0.
    pub index: u64,
    /// The stored bytes.
    pub bytes: Vec<u8>,
}

impl StoredEntry {
    /// From a row with an index and bytes.
    pub(crate) fn of_row(row: Row) -> Option<Self> {
        let index = u64::try_from(row.int(0)?).ok()?;
        match row.0.into_iter().nth(1) {
            Some(Value::Bytes(bytes)) => Some(Self { index, bytes }),
            _ => None,
        }
    }
}

/// The ledger and the tables beside it. One writer; appends of many callers share a commit.
#[async_trait]
pub trait Store: Send + Sync {
    /// Appends under the head lock, after checking the read set. Durable when it returns.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// The outcome of an earlier append under this command id, if there was one.
    async fn appended(&self, command_id: &CommandId) -> Result<Option<Appended>, PortError>;

    /// The entries of a stream, in order.
    async fn stream(&self, stream: &Stream) -> Result<Vec<StoredEntry>, PortError>;

    /// How many entries a stream has.
    async fn stream_version(&self, stream: &Stream) -> Result<u64, PortError>;

    /// Up to `max` entries from ledger index `from` on.
    async fn entries(&self, from: u64, max: u32) -> Result<Vec<StoredEntry>, PortError>;

    /// Every event type that occurs in the ledger.
    async fn kinds(&self) -> Result<Vec<String>, PortError>;

    /// The committed frontier: size and root.
    async fn frontier(&self) -> Result<Frontier, PortError>;

    /// Leaf hashes of entries `from..to`.
    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, PortError>;

    /// The readable values of sealed fields; `None` where erased or unknown.
    async fn unseal(&self, sealed: &[Sealed]) -> Result<Vec<Option<String>>, PortError>;

    /// Runs a query.
    async fn query(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, PortError>;

    /// Changes operational state, all statements in one transaction; returns the rows changed by each.
    /// Governed state is never written through here.
    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, PortError>;

    /// The committed size, announced after each commit; of other processes' commits a moment later.
    fn committed(&self) -> watch::Receiver<u64>;

    /// Whether another version changed its tables since they were opened: then nothing is appended here any more.
    fn is_of_other_version(&self) -> bool {
        false
    }

    /// Whether other processes may write to it too. Then only a lease that has run out says that one of them stopped.
    fn is_shared(&self) -> bool {
        false
    }
}

/// Content-addressed storage for everything large.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores `bytes` durably and returns their SHA-256.
    async fn put(&self, bytes: Vec<u8>) -> Result<Digest, PortError>;

    /// The bytes with this digest, checked on the way out.
    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError>;

    /// Up to `max` digests of what is stored, those after `after`, in order. What is stored meanwhile may be missed.
    async fn list(&self, after: Option<&Digest>, max: u32) -> Result<Vec<Digest>, PortError>;
}

/// A checkpoint as an anchor holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The signed note.
    pub note: Vec<u8>,
    /// What tells this state of the anchor from any other; of meaning to the anchor alone.
    pub tag: String,
}

/// Why an anchor was not moved.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// It does not hold what the caller saw. Nothing was written.
    #[error("moving the anchor: it holds something else by now")]
    Moved,
    /// It failed; whether it was moved is unknown until it is loaded again.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Where the last signed checkpoint is kept, apart from the database (DESIGN promise 12). It compares nothing but
/// what it holds with what its caller saw: of two who move it from the same place, one succeeds.
#[async_trait]
pub trait Anchor: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// The anchored checkpoint, if there is one, as whoever moved it last left it.
    async fn load(&self) -> Result<Option<Held>, PortError>;

    /// Puts `checkpoint` in the place of what was `seen`, durably before it returns.
    async fn replace(&self, seen: Option<&Held>, checkpoint: &[u8]) -> Result<Held, AnchorError>;

    /// Whether servers on other machines see the same one.
    fn is_shared(&self) -> bool {
        false
    }
}

/// What a witness answered to `add-checkpoint` (C2SP tlog-witness).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Signature lines.
    Cosigned(String),
    /// It saw a checkpoint of this size last, another than we said.
    Latest(u64),
    /// It does not cosign.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        problem: String,
    },
}

/// A witness that can be asked to cosign.
#[async_trait]
pub trait WitnessPeer: Send + Sync {
    /// Brings it the body of an `add-checkpoint` request.
    async fn add_checkpoint(&self, request: String) -> Result<Answered, PortError>;
}

/// A timestamp that an authority gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// The reply (RFC 3161, section 2.4.2), in DER.
    pub reply: Vec<u8>,
    /// The time it states.
    pub time: Timestamp,
}

/// A foreign authority that says when a file was there (RFC 3161).
#[async_trait]
pub trait TimestampAuthority: Send + Sync {
    /// Has a file stamped. What comes back was checked to be of this file and by this authority.
    async fn stamp(&self, file: &[u8]) -> Result<Stamped, PortError>;
}

/// A version that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVersion {
    /// The model as the registry names it.
    pub name: String,
    /// The version as the registry names it.
    pub version: String,
    /// Authors as the registry states them. Claims, never people (DECISIONS 15).
    pub authors: Vec<String>,
    /// When the registry says it was made.
    pub created: Option<Timestamp>,
    /// A kind of change stated in the registry, which can only raise the computed one.
    pub declared: Option<String>,
}

/// A model that a registry has, as `lumos init` proposes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// The model as the registry names it.
    pub name: String,
    /// What the registry says about it.
    pub description: String,
    /// The owner as the registry states it.
    pub owner: Option<String>,
    /// The newest version.
    pub latest: Option<String>,
}

/// A claim about a version that its registry holds, such as the metrics of the run that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundEvidence {
    /// The kind of claim, such as `evaluation`.
    pub kind: String,
    /// Who made it.
    pub producer: String,
    /// The claim.
    pub claim: serde_json::Value,
}

/// Why a registry did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It could not be reached, or not in time. Worth trying again.
    #[error("asking registry `{registry}`: it cannot be reached: {problem}")]
    Unreachable {
        /// The connector.
        registry: String,
        /// What happened.
        problem: String,
    },
    /// It refused the credential.
    #[error("asking registry `{registry}`: it refused our credential: {problem}")]
    Refused {
        /// The connector.
        registry: String,
        /// What it said.
        problem: String,
    },
    /// It has no such thing.
    #[error("asking registry `{registry}`: it has no {what}")]
    NotFound {
        /// The connector.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// It failed or answered nonsense.
    #[error("asking registry `{registry}`: its answer cannot be used: {problem}")]
    Broken {
        /// The connector.
        registry: String,
        /// What was wrong.
        problem: String,
    },
    /// The files could not be written or read here.
    #[error("fetching from registry `{registry}`: {problem}")]
    Local {
        /// The connector.
        registry: String,
        /// What went wrong.
        problem: String,
    },
}

impl RegistryError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "registry-unreachable",
            Self::Refused { .. } => "registry-refused",
            Self::NotFound { .. } => "registry-not-found",
            Self::Broken { .. } => "registry-broken",
            Self::Local { .. } => "fetch-failed",
        }
    }

    /// What happened, without the registry's own words: fit for an entry that stays for ever.
    #[must_use]
    pub fn without_detail(&self) -> String {
        match self {
            Self::Unreachable { registry, .. } => {
                format!("registry `{registry}` cannot be reached")
            }
            Self::Refused { registry, .. } => {
                format!("registry `{registry}` refused our credential")
            }
            Self::NotFound { registry, .. } => format!("registry `{registry}` has no such thing"),
            Self::Broken { registry, .. } => {
                format!("the answer of registry `{registry}` cannot be used")
            }
            Self::Local { registry, .. } => {
                format!("what registry `{registry}` holds could not be kept here")
            }
        }
    }

    /// Whether the same call may work later without anybody's doing.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Local { .. }
        )
    }
}

/// A model registry.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The connector's name in the settings.
    fn name(&self) -> &RegistryName;

    /// Every model it shows us.
    async fn models(&self) -> Result<Vec<FoundModel>, RegistryError>;

    /// The versions of `name` that are complete, newest first, stopping after one that `known` says is known.
    async fn versions(
        &self,
        name: &str,
        known: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Result<Vec<FoundVersion>, RegistryError>;

    /// One version.
    async fn version(&self, name: &str, version: &str) -> Result<FoundVersion, RegistryError>;

    /// Fetches the artifacts of a version into the empty folder `into`, streaming; returns the bytes fetched.
    async fn fetch(&self, name: &str, version: &str, into: &Path) -> Result<u64, RegistryError>;

    /// Claims that the registry holds about a version.
    async fn evidence(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Vec<FoundEvidence>, RegistryError>;

    /// The version that an alias names now, if any.
    async fn alias(&self, name: &str, alias: &str) -> Result<Option<String>, RegistryError>;

    /// Points an alias at a version and leaves `marker` where the registry can carry it.
    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: &str,
        marker: &str,
    ) -> Result<(), RegistryError>;

    /// What the credential cannot do that LUMOS needs, in words; empty when all is well.
    async fn missing_permissions(&self) -> Result<Vec<String>, RegistryError>;

    /// Reads a webhook: verifies it over the raw bytes and says which versions to look at. `None` when this
    /// registry sends none.
    fn receive(
        &self,
        headers: &[(String, String)],
        body: &[u8],
        now: Timestamp,
    ) -> Option<Result<Delivery, InboundError>>;
}

/// Where to look, as a webhook hinted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The registry that sent the webhook.
    pub registry: RegistryName,
    /// The model as the registry names it.
    pub name: String,
    /// The version, if the webhook named one.
    pub version: Option<String>,
}

/// A verified webhook: a hint where to look, never a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Unique per delivery, to drop replays.
    pub id: String,
    /// Models and versions to look at.
    pub hints: Vec<(String, Option<String>)>,
}

/// Why a webhook was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// No or a wrong signature.
    #[error("reading a webhook: its signature does not verify")]
    Signature,
    /// Too old or from the future.
    #[error("reading a webhook: its time is more than five minutes from now")]
    Stale,
    /// Not the shape it must have.
    #[error("reading a webhook: {0}")]
    Malformed(String),
}

impl InboundError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Signature => "webhook-signature",
            Self::Stale => "webhook-stale",
            Self::Malformed(_) => "webhook-malformed",
        }
    }
}

/// An entry on its way to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same each time this entry is brought: whoever saw it before drops it.
    pub id: String,
    /// When it is sent.
    pub sent: Timestamp,
    /// The stored bytes of the entry.
    pub body: Vec<u8>,
}

/// What a webhook answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It has it (2xx).
    Taken,
    /// It wants no more (410).
    Gone,
    /// Anything else.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        problem: String,
        /// After how many seconds it asked to be asked again.
        after_s: Option<u64>,
    },
}

/// The webhook of an outside agent.
#[async_trait]
pub trait Webhook: Send + Sync {
    /// Brings it a signed message, once.
    async fn deliver(&self, message: &Message) -> Result<Received, PortError>;
}

/// What a scan of fetched artifacts found.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// The parts of the release.
    pub manifest: Manifest,
    /// The format of each part, by path, where it was recognised.
    pub formats: Vec<(String, String)>,
    /// Claims about the artifacts: scan, card, licence.
    pub evidence: Vec<FoundEvidence>,
}

/// Why artifacts could not be scanned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scanning artifacts: {problem}")]
pub struct ScanError {
    /// A stable code.
    pub code: String,
    /// What went wrong, in words fit for people.
    pub problem: String,
    /// Whether the same scan may work later.
    pub transient: bool,
}

/// Hashes and scans a folder of hostile files, in a process of its own.
#[async_trait]
pub trait Scanner: Send + Sync {
    /// Scans `tree`.
    async fn scan(&self, tree: &Path) -> Result<Scanned, ScanError>;
}

/// What the engine runs on.
#[derive(Clone)]
pub struct Ports {
    /// The ledger and its tables.
    pub store: Arc<dyn Store>,
    /// Large things.
    pub blobs: Arc<dyn Blobs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The server's own secret, for keyed hashes of what is looked up and must not be guessed.
    pub key: Arc<ServerKey>,
}

/// One Ed25519 key that signs. Its private half may be anywhere, and need never be in this process.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The 32 bytes of the public key (RFC 8032).
    fn public(&self) -> &[u8; 32];

    /// The 64 bytes of the signature over `message`. Whoever asks checks them.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError>;
}

/// What keeps keys: files, a token behind PKCS#11, a key management service.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The key called so; `None` when there is none.
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Signer>>, PortError>;

    /// Makes a key and calls it so. It is there for good when this returns.
    async fn create(&self, name: &str) -> Result<Arc<dyn Signer>, PortError>;
}
