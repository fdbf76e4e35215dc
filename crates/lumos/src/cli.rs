//! The command line: names, options and help. What a command does is in `commands/`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

pub(crate) use keys::{Key, LedgerKey};
pub(crate) use ledger::{EvidencePack, Ledger, Verify};
pub(crate) use log_review::{LogReview, SignRange};
pub(crate) use people::{Erase, Hold, OutsideAgent, Retention, Role, Token, User};

mod keys;
mod ledger;
mod log_review;
mod people;

/// LUMOS decides which model versions may run, and proves it.
///
/// Exit status: 0 yes, 1 error, 2 usage, 3 no (denied, failed, blocked by a finding, does not verify).
#[derive(Debug, Parser)]
#[command(name = "lumos", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub common: Common,
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The settings file [default: lumos.yaml, or embedded defaults]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory, in place of the settings' own
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The server to ask [default: LUMOS_SERVER, or the one running on the data directory]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See the whole story on a small organisation, in a directory that is thrown away
    Demo {
        /// End after the story, instead of keeping the site running
        #[arg(long)]
        once: bool,
    },
    /// Write the first settings: ask little, look at the registry, propose models and owners
    Init(Init),
    /// Run the server
    Serve {
        /// A key that signs the ledger is lost for good: start all the same, to revoke it and change to another one, and
        /// for nothing else; may be repeated
        #[arg(long, value_name = "KEY-ID")]
        key_lost: Vec<String>,
    },
    /// Is it healthy, who could not sign, what is open?
    Check,
    /// Submit a release: a file or folder, or REGISTRY:NAME:VERSION
    Submit(Submit),
    /// Models: register, tier, bind, list, show
    #[command(subcommand)]
    Model(Model),
    /// Releases: list, show, claim, withdraw, promote, revoke, evidence
    #[command(subcommand)]
    Release(Release),
    /// Reviews: list, show, approve, reject, request-changes
    #[command(subcommand)]
    Review(Review),
    /// Let an agent use an approved release
    Assign {
        /// system/agent/environment
        assignment: String,
        /// The review that ended in the approval: model/version/environment/round
        #[arg(long)]
        approval: String,
    },
    /// Changes that wait for a second person: list, show, confirm, decline
    #[command(subcommand)]
    Proposal(Proposal),
    /// Outside agents: list, define
    #[command(subcommand)]
    Agent(OutsideAgent),
    /// Systems: apply, show, stop, resume, mode
    #[command(subcommand)]
    System(System),
    /// Scan a file or folder here, in the sandbox, without a server
    Scan { path: PathBuf },
    /// Policy bundles: check a model, lint, explain, publish
    #[command(subcommand)]
    Policy(Policy),
    /// May this release run here? Exit 0 by effect, or by verdict with --strict
    Gate(Gate),
    /// Why was a decision what it was?
    Why { decision: String },
    /// The ledger: show, export, verify, proof, checkpoint
    #[command(subcommand)]
    Ledger(Ledger),
    /// The review of the log: show, entries, sign, list, set, end. `show` exits 3 while one is overdue
    #[command(subcommand)]
    LogReview(LogReview),
    /// The keys that sign the ledger: list, create, rotate, revoke, backup, restore
    #[command(subcommand)]
    Key(Key),
    /// The auditor's questions, such as who or changes. Exit 3 where a check does not hold
    Ask {
        /// who, changes, refused, bypass, reads, erased, log-reviews, overdue or reviewers
        question: String,
        /// The first day, or instant, of the period [default: 92 days ago]
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// The last day, or the first instant after the period [default: now]
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
    },
    /// Copy the ledger as it is now into a new folder, also while a server runs. Without the keys and the anchor
    Backup {
        #[arg(value_name = "DIR")]
        into: PathBuf,
    },
    /// Make a ledger where there is none from a backup
    Restore {
        #[arg(value_name = "BACKUP")]
        from: PathBuf,
        /// The newest checkpoint you can get, from a witness, an export or a receipt, where the anchor was lost
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Move the ledger of the data directory to the PostgreSQL database that the settings name
    Migrate,
    /// A release, or what came to run in a period, as a folder that is checked without LUMOS
    EvidencePack(EvidencePack),
    /// Cosign the checkpoints of ledgers run by others
    #[command(subcommand)]
    Witness(Witness),
    /// Sign in and out, add people
    #[command(subcommand)]
    User(User),
    /// Roles: list, define, grant, revoke
    #[command(subcommand)]
    Role(Role),
    /// Tokens: issue, list, revoke
    #[command(subcommand)]
    Token(Token),
    /// Erase a person who left: their name and words, never a proof
    Erase(Erase),
    /// Legal holds: list, set, lift
    #[command(subcommand)]
    Hold(Hold),
    /// How long records stay readable: show, set
    #[command(subcommand)]
    Retention(Retention),
    /// Those who follow the ledger: list, retry, replay; secrets for webhooks. Exit 3 where something was given up
    Runtime {
        #[command(subcommand)]
        what: Option<Runtime>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// An MLflow server to look at
    #[arg(long, value_name = "URL")]
    pub mlflow: Option<String>,
    /// A folder of models, MODEL/VERSION/
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Where this server will be reachable, to create the webhook
    #[arg(long, value_name = "URL")]
    pub webhook_url: Option<String>,
    /// MODEL=LOGIN: who owns a model, where the registry's own answer is wrong; may be repeated
    #[arg(long, value_name = "MODEL=LOGIN")]
    pub owner: Vec<String>,
    /// Accept every model and owner that the registry proposes, without being asked
    #[arg(long)]
    pub yes: bool,
    /// Where to write
    #[arg(long, default_value = ".")]
    pub into: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// A file, a folder, or REGISTRY:NAME:VERSION
    pub source: String,
    #[arg(long)]
    pub model: String,
    #[arg(long)]
    pub version: String,
    #[arg(long, value_name = "ENV")]
    pub env: String,
    /// An agent it is for, as system/agent; may be repeated
    #[arg(long)]
    pub agent: Vec<String>,
    /// The kind of change; it can only raise what is computed
    #[arg(long)]
    pub change: Option<String>,
    /// A model card, when the folder has none
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// KIND=FILE: a claim in JSON; may be repeated
    #[arg(long, value_name = "KIND=FILE")]
    pub evidence: Vec<String>,
    /// A further author, to be claimed by a signed-in person; may be repeated
    #[arg(long)]
    pub author: Vec<String>,
    /// Wait until it is decided, or waits for people
    #[arg(long)]
    pub wait: bool,
    /// Send a marked test through the whole flow, say which agent did what, and withdraw it
    #[arg(long)]
    pub test: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Every model
    List,
    /// One model
    Show { model: String },
    /// Register a model, or describe it anew
    Register {
        model: String,
        /// The owner's login
        #[arg(long)]
        owner: String,
        #[arg(long)]
        data_owner: Option<String>,
        #[arg(long)]
        purpose: String,
        /// low, medium or high
        #[arg(long)]
        tier: String,
        /// Why this tier
        #[arg(long)]
        rationale: String,
        #[arg(long)]
        unit: Option<String>,
        /// A policy bundle it is held against; may be repeated
        #[arg(long, required = true)]
        policy: Vec<String>,
        #[arg(long)]
        framework: Vec<String>,
    },
    /// Set the materiality
    Tier {
        model: String,
        tier: String,
        #[arg(long)]
        rationale: String,
    },
    /// Bind a model to a name in a registry
    Bind {
        model: String,
        #[arg(long)]
        registry: String,
        /// The model as the registry names it
        #[arg(long)]
        name: String,
        #[arg(long, value_name = "ENV")]
        env: String,
        #[arg(long)]
        agent: Vec<String>,
        /// The alias that names the approved version
        #[arg(long)]
        alias: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// The newest releases
    List,
    /// One release: model/version
    Show { release: String },
    /// Say that an author claim is you; you then cannot approve it
    Claim {
        release: String,
        #[arg(long, default_value_t = 1)]
        claim: u32,
    },
    /// Withdraw a release that is not approved
    Withdraw {
        release: String,
        #[arg(long)]
        reason: String,
    },
    /// Ask to enter a further environment
    Promote {
        release: String,
        #[arg(long, value_name = "ENV")]
        env: String,
        #[arg(long)]
        agent: Vec<String>,
    },
    /// Revoke the approval of a release in an environment
    Revoke {
        release: String,
        #[arg(long, value_name = "ENV")]
        env: String,
        #[arg(long)]
        reason: String,
    },
    /// Record evidence: a claim in JSON
    Evidence {
        release: String,
        #[arg(long)]
        kind: String,
        file: PathBuf,
        /// Wait until the release was held against policy again, and say what still blocks
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Review {
    /// Open reviews and whom they wait for
    List,
    /// One review: model/version/environment[/round]
    Show { review: String },
    /// Sign: approve
    Approve(Vote),
    /// Sign: reject
    Reject(Vote),
    /// Sign: ask for changes
    RequestChanges(Vote),
}

#[derive(Debug, Args)]
pub(crate) struct Vote {
    /// model/version/environment[/round]
    pub review: String,
    #[arg(long)]
    pub reason: String,
    /// The role to sign as, if you hold several
    #[arg(long)]
    pub slot: Option<String>,
    /// Read your password from standard input, for a part 11 signature
    #[arg(long)]
    pub password_stdin: bool,
    /// The record hash you saw; without it the record is shown by `review show` now
    #[arg(long)]
    pub record: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Proposal {
    /// Everything that waits, and what it would do
    List,
    /// One change that waits
    Show { proposal: String },
    /// Confirm what somebody else proposed: it happens now
    Confirm { proposal: String },
    /// Say no, or take your own proposal back
    Decline {
        proposal: String,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum System {
    /// Define a system from a YAML file: system, owner, agents, outage
    Apply { file: PathBuf },
    /// One system, or all
    Show { system: Option<String> },
    /// Stop a system: everything it asks is denied
    Stop {
        system: String,
        #[arg(long)]
        reason: String,
    },
    /// Ask that a stopped system run again; a second person confirms the same way
    Resume {
        system: String,
        #[arg(long)]
        reason: String,
    },
    /// Set whether denials are applied: observe or enforce
    Mode {
        /// A system, or `*`
        scope: String,
        #[arg(long, value_name = "ENV")]
        env: String,
        mode: String,
        /// For observe: days until it is enforce, at most 90
        #[arg(long)]
        days: Option<u32>,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// The server's verdict on a file or folder, made here
    Check {
        path: PathBuf,
        /// A bundle file; may be repeated [default: the embedded starter]
        #[arg(long, value_name = "FILE")]
        bundle: Vec<PathBuf>,
        #[arg(long, default_value = "medium")]
        tier: String,
        #[arg(long, value_name = "ENV", default_value = "production")]
        env: String,
        /// The review depth to judge for
        #[arg(long, default_value = "full")]
        depth: String,
        #[arg(long, default_value = "")]
        purpose: String,
        /// KIND=FILE: a claim in JSON; may be repeated
        #[arg(long, value_name = "KIND=FILE")]
        evidence: Vec<String>,
    },
    /// Look for mistakes in a bundle
    Lint { file: PathBuf },
    /// Explain a rule, or every rule, of a bundle
    Explain { file: PathBuf, rule: Option<String> },
    /// Run the tests of a bundle
    Test {
        file: PathBuf,
        /// The tests [default: the file of the same name in `tests` beside it]
        #[arg(long, value_name = "FILE")]
        tests: Option<PathBuf>,
        /// Fail where no test expects an answer that a rule can give
        #[arg(long)]
        coverage: bool,
        /// Change every rule in small ways, and fail where no test notices
        #[arg(long)]
        mutate: bool,
    },
    /// Publish a bundle version; it is then frozen
    Publish { file: PathBuf },
}

#[derive(Debug, Args)]
pub(crate) struct Gate {
    #[arg(long)]
    pub model: String,
    #[arg(long)]
    pub version: Option<String>,
    /// A release digest or a weight file's digest
    #[arg(long)]
    pub digest: Option<String>,
    #[arg(long, value_name = "ENV")]
    pub env: String,
    /// system/agent: then the assignment is checked too
    #[arg(long)]
    pub agent: Option<String>,
    /// Exit by verdict even where the mode is observe
    #[arg(long)]
    pub strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runtime {
    /// How far everybody is, and what they gave up
    List,
    /// Try again what was given up, and switch deliveries on again
    Retry {
        /// Who, as `list` names them
        agent: String,
        /// One entry [default: all that were given up]
        #[arg(long)]
        entry: Option<u64>,
    },
    /// Follow the ledger again from an entry on: nothing is done twice
    Replay {
        /// Who, as `list` names them
        agent: String,
        #[arg(long, value_name = "ENTRY")]
        from: u64,
    },
    /// Print a fresh secret to sign webhooks with; it is kept nowhere
    Secret,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Witness {
    /// Run a witness; its key and what it cosigned are kept in --data
    Serve {
        /// Its name, a schema-less address that stays the same: witness.acme.example/audit
        #[arg(long)]
        name: String,
        /// The ledgers to follow: lines `log VKEY`, as in a trust policy
        #[arg(long, value_name = "FILE")]
        logs: PathBuf,
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8418")]
        listen: SocketAddr,
    },
}
