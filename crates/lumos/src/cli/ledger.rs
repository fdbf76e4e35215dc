//! The options of `lumos ledger`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Entries in order
    Show {
        #[arg(long, default_value_t = 0)]
        from: u64,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Write an export that foreign tools can verify
    Export { dir: PathBuf },
    /// Verify: integrity, completeness and what is anchored, each said apart
    Verify(Verify),
    /// The receipt of one entry: a .tlog-proof file that anybody can verify
    Proof {
        index: u64,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// The latest signed checkpoint
    Checkpoint,
    /// Write each checkpoint that an authority stamped, and its timestamp, as files for foreign tools
    Timestamps {
        dir: PathBuf,
        /// The authority's certificates in PEM, its own first, its root last; then each timestamp is verified here too
        #[arg(long, value_name = "FILE")]
        authority: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EvidencePack {
    /// model/version; without one, the period is asked for
    #[arg(conflicts_with_all = ["from", "to", "env", "sample", "seed"])]
    pub release: Option<String>,
    /// The first day, or instant, of the period [default: 92 days before its end]
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// The last day, or the first instant after the period [default: now]
    #[arg(long, value_name = "DAY")]
    pub to: Option<String>,
    /// Only what came to run there, such as `production` [default: everywhere]
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,
    /// How many changes are drawn and shown in full, at most 1000 [default: 25]
    #[arg(long, value_name = "N")]
    pub sample: Option<u32>,
    /// What they are drawn with [default: the root of the ledger, which nobody can choose]
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
    /// The folder to make [default: evidence]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// With --data and no server: the ledger's key
    #[arg(long)]
    pub vkey: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// An export, a data directory or a copy of one, an evidence pack, or a receipt [default: the data directory of --data, else the
    /// server, read as a stranger would]
    pub target: Option<PathBuf>,
    /// A verifier key you trust; may be repeated. Without it the other side's own is believed, and that is said
    #[arg(long, conflicts_with = "policy")]
    pub vkey: Vec<String>,
    /// Whom you trust, in tlog-policy syntax: logs, witnesses and how many of them
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What you hold from before: a checkpoint, a receipt or a copy of the database; nothing it covers may have
    /// changed. May be repeated
    #[arg(long, value_name = "FILE", alias = "older")]
    pub since: Vec<PathBuf>,
    /// What `lumos ledger timestamps` wrote: every stamped checkpoint must be continued, and is then anchored in time
    #[arg(long, value_name = "DIR", requires = "authority")]
    pub timestamps: Option<PathBuf>,
    /// The authority's certificates in PEM, its own first, its root last
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// The entry of a receipt that holds none
    #[arg(long, value_name = "FILE")]
    pub entry: Option<PathBuf>,
}
